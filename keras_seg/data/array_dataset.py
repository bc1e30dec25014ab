"""A data set of images and masks in memory."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.folder.pairs import check_values
from keras_seg.data.mask_values.counts import count_labels
from keras_seg.data.mask_values.findings import SEEN_IN_A_FILE, label_findings
from keras_seg.data.mask_values.remedies import ARRAY_DATASET
from keras_seg.data.reading.in_memory import (
    as_array,
    holds_objects,
    is_grey_batch,
    pixels_and_known,
    sorted_out,
)
from keras_seg.data.reading.masks import read_label_channels, read_mask
from keras_seg.data.reading.nodata import marked
from keras_seg.data.reading.ranges import ValueRange, checked_range
from keras_seg.names import IGNORE_CLASS


class ArrayDataset(SegmentationDataset):
    """Images from arrays or lists in memory, with or without masks.

    Shapes: images (N, H, W, C) or grey (N, H, W), or a list of (H, W, C) or (H, W) of any sizes.
    Masks (N, H, W) or (N, H, W, 1), or a list of (H, W), with the class of each pixel, or 255 if
    unknown. With multi_label (N, H, W, labels) or a list of (H, W, labels): 1 if the pixel has the
    label, 0 if not, 255 if unknown.

    Args:
        images: arrays, tensors, PIL pictures or paths of files. uint8 is kept, other types follow
            the rules of `keras_seg.data.reading.in_memory.as_pixels`.
        masks: the masks, as arrays, tensors, PIL pictures or paths of files; None if there are
            none, which is enough for calibration.
        classes: class table or names; None to number the classes up to the largest mask value.
        channels: channels of the images; None for those of the first image, and 3 for paths and PIL
            pictures.
        value_range: (black, white) of images with more than 8 bits.
        name: name of the data set, for messages.
        split: name of the split.
        multi_label: whether a pixel may have several labels, or none.
        nodata: value of pixels in image files that hold no data.

    Raises: ValueError for no images, or another number of masks than of images; when a sample is
        read, for images that are not pixels and masks that are not classes.

    Example:

        images = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), "uint8")
        masks = (images.mean(-1) > 128).astype("uint8")
        dataset = keras_seg.data.ArrayDataset(images, masks, classes=["dark", "bright"])
        report = keras_seg.export.export(
            model, "model.tflite", quantize="int8", calibration=dataset, evaluation=dataset
        )
    """

    def __init__(
        self,
        images: Any,
        masks: Any = None,
        *,
        classes: ClassTable | Sequence[str] | None = None,
        channels: int | None = None,
        value_range: ValueRange | None = None,
        name: str = "arrays",
        split: str = "train",
        multi_label: bool = False,
        nodata: float | None = None,
    ):
        single, self._images = sorted_out(images)
        if single and is_grey_batch(self._images[0]):
            single, self._images = False, self._images[0]
        if single:
            raise ValueError(
                "images are a batch or a list of images. Received: one image"
                f"{_shape_of(self._images[0])}. Pass [image], or image[None]."
            )
        self._masks = None if masks is None else _masks_of(masks)
        if self._masks is not None and len(self._masks) != len(self._images):
            raise ValueError(
                f"Each image needs a mask. Received: {len(self._images)} images and "
                f"{len(self._masks)} masks."
            )
        self.name, self.split, self.multi_label = name, split, multi_label
        self.value_range, self.nodata = checked_range(value_range), nodata
        self.channels = channels or _channels_of(self._images)
        self.classes = self._table(classes)

    @property
    def has_masks(self) -> bool:
        """Whether the data set has masks to measure on."""
        return self._masks is not None

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Sample:
        place = range(len(self))[operator.index(index)]
        name = f"image {place} of {self.name}"
        image, known = pixels_and_known(
            self._images[place], self.channels, self.value_range, self.nodata, what=name
        )
        if self._masks is None:
            labels = (len(self.classes),) if self.multi_label else ()
            mask = np.full((*image.shape[:2], *labels), IGNORE_CLASS, np.int32)
        elif self.multi_label:
            mask = _labels(self._masks[place], self.classes, f"mask {place} of {self.name}")
        else:
            mask = _class_indices(self._masks[place], f"mask {place} of {self.name}")
            check_values(mask, self.classes, f"mask {place} of {self.name}", remedies=ARRAY_DATASET)
        if mask.shape[:2] != image.shape[:2]:
            raise ValueError(
                f"Image {place} and its mask differ in size: {image.shape[:2]} and "
                f"{mask.shape[:2]} (height, width)."
            )
        return Sample(f"{self.name}-{place:05d}", image, marked(mask, known))

    def _table(self, classes: ClassTable | Sequence[str] | None) -> ClassTable:
        """The given class table, or one for the values in the masks, which are checked."""
        if isinstance(classes, ClassTable):
            table = classes
        elif classes is not None:
            table = ClassTable(classes)
        else:
            table = None
        if self._masks is None:
            return table or ClassTable.numbered(2)
        if self.multi_label:
            return table or ClassTable.numbered(as_array(self._masks[0], "masks").shape[-1])
        counts = count_labels(
            _class_indices(each, f"mask {place} of {self.name}")
            for place, each in enumerate(self._masks)
        )
        findings = label_findings(
            counts,
            num_classes=None if table is None else len(table),
            names=table.names if table else (),
            remedies=ARRAY_DATASET,
        )
        for finding in findings:
            if table and finding.kind in SEEN_IN_A_FILE:
                continue  # reported with its index when it is read
            if finding.error:
                raise ValueError(finding.message)
            if finding.kind == "gaps":
                warnings.warn(finding.message, stacklevel=3)
        largest = max((value for value in counts if value != IGNORE_CLASS), default=0)
        return table or ClassTable.numbered(max(2, int(largest) + 1))


def _masks_of(masks: Any) -> np.ndarray | list:
    if hasattr(masks, "shape") and hasattr(masks, "dtype") and not holds_objects(masks):
        return as_array(masks, "masks")
    return list(masks)


def _class_indices(mask: Any, what: str) -> np.ndarray:
    """A mask as (H, W) int32.

    Raises: ValueError for fractions and for several channels.
    """
    numbers = read_mask(mask) if isinstance(mask, str | Path) else as_array(mask, what)
    if numbers.ndim == 3 and numbers.shape[-1] == 1:
        numbers = numbers[..., 0]
    if numbers.ndim != 2:
        raise ValueError(
            f"{what} must have the shape (height, width) with a class index for each pixel. "
            f"Received: {numbers.dtype} of shape {numbers.shape}. {_channel_advice(numbers)}"
        )
    if numbers.dtype.kind == "f" and not (
        np.isfinite(numbers).all() and np.array_equal(numbers, np.rint(numbers))
    ):
        raise ValueError(
            f"{what} holds values that are no whole numbers, from {numbers.min():g} to "
            f"{numbers.max():g}. A mask holds a class index for each pixel; resize masks with the "
            "nearest neighbour."
        )
    return numbers.astype(np.int32)


def _channel_advice(numbers: np.ndarray) -> str:
    """What to write for a mask with several channels."""
    if numbers.ndim != 3 or not np.isfinite(numbers).all():
        return "Pass the class of each pixel."
    if numbers.shape[-1] in (3, 4) and (numbers == numbers[..., :1]).all():
        return "Its channels are equal, as of a grey picture read as RGB: pass masks[..., 0]."
    if numbers.min() < 0 or numbers.max() > 1:
        return (
            "It seems to be a colour picture: replace each colour by the number of its class. A "
            "folder with classes.json is read so by keras_seg.data.FolderDataset."
        )
    if ((numbers == 1).sum(-1) > 1).any():
        return "Several channels are set at a pixel: if labels may overlap, pass multi_label=True."
    return "For one-hot masks and probabilities pass masks.argmax(-1)."


def _labels(mask: Any, classes: ClassTable, what: str) -> np.ndarray:
    """A multi-label mask as (H, W, labels) uint8 of 0, 1 and 255.

    Raises: ValueError for another shape or other values.
    """
    if isinstance(mask, str | Path):
        return read_label_channels(mask, len(classes))
    numbers = as_array(mask, what)
    if numbers.ndim != 3 or numbers.shape[-1] != len(classes):
        raise ValueError(
            f"{what} must have the shape (height, width, {len(classes)}): a channel for each of "
            f"{', '.join(classes.names)}. Received: {numbers.dtype} of shape {numbers.shape}."
        )
    if not np.isin(numbers, (0, 1, IGNORE_CLASS)).all():
        raise ValueError(
            f"{what} must hold 0 and 1, or {IGNORE_CLASS} where a label is unknown. Received: "
            f"values from {numbers.min():g} to {numbers.max():g}."
        )
    return numbers.astype(np.uint8)


def _channels_of(images: Any) -> int:
    if not len(images):
        raise ValueError("A data set needs images. Received: none.")
    first = images[0]
    if hasattr(first, "shape") and hasattr(first, "dtype"):
        return 1 if len(first.shape) == 2 else int(first.shape[-1])
    return 3


def _shape_of(image: Any) -> str:
    return f" of shape {tuple(image.shape)}" if hasattr(image, "shape") else ""
