"""Opens any data set by its name, as the command line does."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_seg.data.annotations import (
    ANNOTATIONS,
    cvat,
    no_export_folder,
    open_annotations,
    recognise,
)
from keras_seg.data.builtin import BuiltinDataset
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.folder.dataset import FolderDataset, names_classes, no_folder
from keras_seg.data.folder.pairs import PairedDataset
from keras_seg.data.folder.pictures import folders_in
from keras_seg.data.folder.scan import scan_folder
from keras_seg.data.layouts import LAYOUTS, no_layout_folder, open_layout
from keras_seg.data.layouts.tfds import TfdsDataset
from keras_seg.data.reading.measured import range_of_files
from keras_seg.data.reading.ranges import MEASURED, ValueRange, checked_range
from keras_seg.data.wrappers.readable import ON_ERROR, ReadableDataset
from keras_seg.names import unknown_name

SCHEMES = ("builtin", "tfds", *ANNOTATIONS, *LAYOUTS)
"""Prefixes before the colon of a name."""


def open_dataset(
    source: str,
    split: str = "train",
    *,
    classes: ClassTable | None = None,
    channels: int = 3,
    on_error: str = "stop",
    value_range: ValueRange | str | None = None,
    multi_label: bool | None = None,
    nodata: float | None = None,
) -> SegmentationDataset:
    """Opens a data set by its name.

    "builtin:cells" is a built-in set, "tfds:NAME" a set of TensorFlow Datasets, and
    "cityscapes:FOLDER" a folder in an official layout (listed in `keras_seg.data.layouts.LAYOUTS`).
    "coco:FOLDER" is an export of an annotation tool (`keras_seg.data.annotations.ANNOTATIONS` lists
    them). Any other name is a folder: an export is recognised by its files, and every other folder
    has images/ and masks/ (`FolderDataset`).

    Args:
        source: the name.
        split: "train" or "val".
        classes: class table, for a folder without `classes.json`.
        channels: number of channels of the images.
        on_error: "stop" raises an error at a sample that cannot be read. "skip" reads all samples
            once, leaves out unreadable samples and files without a partner, and warns with their
            number and names.
        value_range: (black, white) of images with more than 8 bits, or one such pair per band, or
            "auto" to measure it in the training images; for a folder whose `classes.json` has no
            "range". Numbers also replace a range that is measured.
        multi_label: True for folders and exports of annotation tools whose classes may overlap, so
            that masks are (H, W, classes) of 0 and 1; None for what `classes.json` says.
        nodata: value of image pixels that hold no data, for a folder whose `classes.json` has none.

    Returns: the data set.

    Raises: ValueError for an unknown name, and for `multi_label` of data with one class per pixel;
        FileNotFoundError for missing files.

    Example:

        cells = keras_seg.data.open_dataset("builtin:cells", "val")
        len(cells), cells.classes.names  # 60, ('background', 'cell')
    """
    if on_error not in ON_ERROR:
        raise ValueError(unknown_name("on_error", on_error, ON_ERROR))
    dataset = _open(
        str(source), split, classes, channels, strict=on_error == "stop", multi_label=multi_label
    )
    if multi_label and not dataset.multi_label:
        raise ValueError(
            f"{source} has one class per pixel. Received: multi_label=True. It is for folders and "
            "for exports of annotation tools. Leave it out."
        )
    if isinstance(dataset, PairedDataset):
        _complete(dataset, value_range, nodata)
        if dataset.range_is_measured and split != "train":
            dataset.value_range = _training_range(dataset, source, classes)
    if on_error == "stop":
        return dataset
    if isinstance(dataset, FolderDataset):
        dataset.masks.check(skips_files=True)
        problems = [] if dataset.one_file_per_label else scan_folder(dataset.root, split).problems()
        for problem in problems:
            warnings.warn(f"Left out: {problem}", stacklevel=2)
    return ReadableDataset(dataset)


def check_source(source: str) -> None:
    """Checks that the folder of a data set exists, before anything that takes time.

    Raises: FileNotFoundError with the message of `open_dataset`.
    """
    if _is_folder_name(source):
        if not Path(source).is_dir():
            raise FileNotFoundError(no_folder(Path(source)))
        return
    scheme, _, rest = source.partition(":")
    root = Path(rest).expanduser()
    for known, message in ((ANNOTATIONS, no_export_folder), (LAYOUTS, no_layout_folder)):
        if scheme in known and not root.is_dir():
            raise FileNotFoundError(message(scheme, root))


def _is_folder_name(source: str) -> bool:
    """Whether a name is a folder, without the name of a kind of data before it."""
    scheme, colon, _ = source.partition(":")
    # A single letter before the colon is a Windows drive.
    return not colon or len(scheme) == 1 or Path(source).exists()


def _complete(
    dataset: PairedDataset, value_range: ValueRange | str | None, nodata: float | None
) -> None:
    """Gives a data set the range and the nodata value that its files do not state."""
    dataset.nodata = nodata if dataset.nodata is None else dataset.nodata
    unstated = not dataset.states_range
    if value_range == MEASURED and unstated:
        dataset.value_range = MEASURED
    elif value_range not in (None, MEASURED) and (unstated or dataset.range_is_measured):
        dataset.value_range = checked_range(value_range)


def _training_range(
    dataset: PairedDataset, source: str, classes: ClassTable | None
) -> ValueRange | None:
    """The range that is measured in the training images of a data set."""
    if isinstance(dataset, FolderDataset):  # it looks there itself
        return dataset.value_range
    train = _open(
        str(source),
        "train",
        classes,
        dataset.channels,
        strict=False,
        multi_label=dataset.multi_label or None,
    )
    images = train.training_images() if isinstance(train, PairedDataset) else []
    return range_of_files(images, dataset.channels, dataset.nodata)


def _open(
    source: str,
    split: str,
    classes: ClassTable | None,
    channels: int,
    *,
    strict: bool,
    multi_label: bool | None,
) -> SegmentationDataset:
    options: dict[str, Any] = {"classes": classes, "channels": channels}
    of_folder = options | {"strict": strict, "multi_label": multi_label}
    scheme, _, rest = source.partition(":")
    if _is_folder_name(source):
        scheme = recognise(Path(source)) if Path(source).is_dir() else None
        if scheme is not None:
            return open_annotations(scheme, source, split, **of_folder)
        with _told_of_exports_below(Path(source)):
            return FolderDataset(source, split, **of_folder)
    if scheme == "builtin":
        dataset = BuiltinDataset(rest, split)
        if channels != dataset.channels:
            raise ValueError(
                f"{source} has images of {dataset.channels} channels. Received: channels="
                f"{channels}. Set channels to {dataset.channels}."
            )
        return dataset
    if scheme == "tfds":
        return TfdsDataset(rest, split, **options)
    if scheme == "voc" and cvat.has_label_map(Path(rest)):
        scheme = "cvat"  # masks with a label map, as tools write VOC
    if scheme == "voc" and names_classes(Path(rest)):
        return FolderDataset(rest, split, **of_folder)  # of labelme2voc, or with own classes
    if scheme in ANNOTATIONS:
        with _told_of_exports_below(Path(rest)):
            return open_annotations(scheme, rest, split, **of_folder)
    if scheme not in LAYOUTS:
        raise ValueError(f"{source}: {unknown_name('kind of data', scheme, SCHEMES)}")
    return open_layout(scheme, rest, split, **options)


@contextlib.contextmanager
def _told_of_exports_below(root: Path) -> Iterator[None]:
    """Adds the sub-folder that is an export to the message of a folder that is none."""
    try:
        yield
    except FileNotFoundError as error:
        if recognise(root) is None:
            for folder in folders_in(root):
                if (kind := recognise(folder)) is not None:
                    raise type(error)(
                        f"{error} An export is in the sub-folder: pass {kind}:{folder}"
                    ) from error
        raise
