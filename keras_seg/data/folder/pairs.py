"""Data sets of image files with label files, which all readers of files share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.mask_values.counts import count_labels
from keras_seg.data.mask_values.findings import label_findings
from keras_seg.data.mask_values.pixels import ValuesOutside
from keras_seg.data.mask_values.remedies import CLASS_FILE, Remedies
from keras_seg.data.reading.images import orientation, read_image_and_known
from keras_seg.data.reading.measured import range_of_files
from keras_seg.data.reading.nodata import marked
from keras_seg.data.reading.ranges import MEASURED, ValueRange
from keras_seg.data.reading.resize import resize_image, resize_mask
from keras_seg.names import IGNORE_CLASS

ReadPixels = Callable[..., tuple[np.ndarray, np.ndarray | None]]
"""Reads an image file: the pixels, and which of them hold data, as `read_image_and_known`."""


class Pair(NamedTuple):
    """An image file and its mask file (or what else the reader of a layout takes)."""

    image: Path
    mask: Any


class SizesDiffer(ValueError):
    """An image and its mask have different sizes."""


class PairedDataset(SegmentationDataset):
    """Image files, and masks that a function reads from label files.

    Args:
        pairs: image file and label file of each sample.
        read_truth: function of a label file that returns the mask (H, W), or (mask, instances).
        name: name of the data set.
        split: "train" or "val".
        classes: the class table.
        channels: number of channels of the images.
        names: names of the samples; by default those of the image files.
        resize_images: whether images are resized to their masks, for data sets with smaller masks.
        value_range: (black, white) of images with more than 8 bits, or one such pair per band;
            "auto" to measure it in the training images when it is first needed.
        nodata: value of image pixels that hold no data, besides that in the files.
        multi_label: whether masks are (H, W, classes) of 0, 1 and 255.
        read_pixels: reads an image file, as `read_image_and_known`.
        reading: how the files are read, in words.

    Raises: ValueError for a wrong number of channels; when a sample is read, SizesDiffer and
        ValuesOutside, which are ValueErrors too.
    """

    def __init__(
        self,
        pairs: Sequence[Pair],
        read_truth: Callable,
        *,
        name: str,
        split: str,
        classes: ClassTable,
        channels: int,
        names: Sequence[str] | None = None,
        resize_images: bool = False,
        value_range: ValueRange | str | None = None,
        multi_label: bool = False,
        nodata: float | None = None,
        read_pixels: ReadPixels = read_image_and_known,
        reading: str = "",
    ):
        if not isinstance(channels, int) or channels < 1:
            raise ValueError(
                "channels must be 1 (grey), 3 (RGB) or the number that the image files have. "
                f"Received: {channels}"
            )
        self.pairs, self._read_truth = list(pairs), read_truth
        self.name, self.split, self.classes, self.channels = name, split, classes, channels
        self._names, self._resize_images = names, resize_images
        self.multi_label, self.nodata = multi_label, nodata
        self._read_pixels, self.reading = read_pixels, reading
        self._value_range, self.range_is_measured = value_range, value_range == MEASURED

    @property
    def value_range(self) -> ValueRange | None:
        """Black and white of images with more than 8 bits, measured now if it is "auto"."""
        if isinstance(self._value_range, str):
            images = self.training_images()
            self._value_range = range_of_files(images, self.channels, self.nodata)
        return self._value_range

    @value_range.setter
    def value_range(self, value_range: ValueRange | str | None) -> None:
        self._value_range, self.range_is_measured = value_range, value_range == MEASURED

    @property
    def states_range(self) -> bool:
        """Whether a range is given, or is to be measured."""
        return self._value_range is not None

    def training_images(self) -> list[Path]:
        """The images in which a range is measured; a subclass may take another split."""
        return [pair.image for pair in self.pairs]

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        pair = self.pairs[index]
        truth = self._read_truth(pair.mask)
        mask, instances = truth if isinstance(truth, tuple) else (truth, None)
        if not self.multi_label:
            check_values(mask, self.classes, pair.mask)
        image, known = self._read_pixels(
            pair.image, self.channels, value_range=self.value_range, nodata=self.nodata
        )
        if self._resize_images:
            image = resize_image(image, mask.shape[:2])
            known = None if known is None else resize_mask(known, mask.shape[:2])
        check_sizes(pair, image, mask)
        mask = marked(mask, known)  # pixels without data are unknown
        if instances is not None and instances.shape != mask.shape[:2]:
            raise SizesDiffer(
                f"The mask and the instances of {pair.mask} differ in size: {size_text(mask)} and "
                f"{size_text(instances)} (width x height). Export them again from one image."
            )
        return Sample(self.sample_name(index), image, mask, instances)

    def sample_name(self, index: int) -> str:
        return self._names[index] if self._names else self.pairs[index].image.stem


def check_sizes(pair: Pair, image: np.ndarray, mask: np.ndarray) -> None:
    """Raises SizesDiffer if an image and its mask differ in size, with the likely reason."""
    size = mask.shape[:2]
    if image.shape[:2] == size:
        return
    advice = "Export the mask again from the image that it belongs to."
    turned = orientation(pair.image)
    if turned > 4 and image.shape[1::-1] == size:
        advice = (
            f"The image is turned by its EXIF orientation {turned}, and the mask was drawn on the "
            "pixels as they are stored. Turn the mask alike, or remove the orientation from the "
            "image, for example with exiftool -Orientation=."
        )
    raise SizesDiffer(
        f"An image and its mask differ in size: {pair.image} is {size_text(image)}, "
        f"{pair.mask} is {size_text(mask)} (width x height). {advice}"
    )


def check_values(
    mask: np.ndarray, classes: ClassTable, source: object, *, remedies: Remedies = CLASS_FILE
) -> None:
    """Raises ValuesOutside if a mask holds a value that is neither a class nor 255."""
    counted = mask[mask != IGNORE_CLASS]
    if not counted.size or 0 <= counted.min() <= counted.max() < len(classes):
        return
    if len(classes) == 1 and counted.max() == 1:
        raise ValuesOutside(
            f"{source} holds values outside the class table: [1]. The table has only the class 0 "
            f"({classes.names[0]}). Name the background, too: "
            f'"names": ["background", "{classes.names[0]}"].'
        )
    (finding, *_) = label_findings(
        count_labels(mask),
        num_classes=len(classes),
        names=classes.names,
        subject=str(source),
        plural=False,
        remedies=remedies,
    )
    raise ValuesOutside(finding.message)


def size_text(pixels: np.ndarray) -> str:
    """Width x height, such as "640x480"."""
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


class ValueMap:
    """Maps values in mask files to classes. Values that are not listed are refused.

    Args:
        classes: file value → class, or 255.
        listed_in: where the user lists the values; empty for an official layout.
        exported: whether that is a file of an annotation tool, and not `classes.json`.
    """

    def __init__(self, classes: dict[int, int], *, listed_in: str = "", exported: bool = False):
        self._listed_in, self._exported = listed_in, exported
        self._table = np.full(max(classes) + 1, -1, np.int32)
        for value, number in classes.items():
            self._table[value] = number

    def __call__(self, mask: np.ndarray, source: object) -> np.ndarray:
        """Converts (H, W) file values to (H, W) int32 classes.

        Raises: ValuesOutside that names unknown values.
        """
        inside = (mask >= 0) & (mask < len(self._table))
        mapped = np.where(inside, self._table[np.where(inside, mask, 0)], -1)
        if (mapped < 0).any():
            wrong = [int(value) for value in np.unique(mask[mapped < 0])]
            if self._listed_in:
                raise ValuesOutside(self._not_listed(wrong, (mapped < 0).mean(), mask, source))
            raise ValuesOutside(
                f"{source} holds values that this layout does not have: {wrong[:8]}. Is it "
                "the file of another layout?"
            )
        return mapped.astype(np.int32)

    def _not_listed(self, wrong: list[int], share: float, mask: np.ndarray, source: object) -> str:
        message = (
            f"{source} holds values that {self._listed_in} does not have: {wrong[:8]}, in "
            f"{share:.1%} of the pixels."
        )
        findings = label_findings(count_labels(mask), subject="They", remedies=CLASS_FILE)
        shapes = [each.message for each in findings if each.kind in ("smooth", "picture")]
        remedy = (
            'List them under "values" with the classes, or under "ignore" if they mean unknown.'
        )
        if self._exported:
            remedy = (
                "Add them there. If they mean unknown, write classes.json in the folder: "
                f'{{"names": [...], "ignore": {wrong[:8]}}}.'
            )
        return f"{message} {shapes[0] if shapes else remedy}"
