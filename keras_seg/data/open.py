"""One name for every source of data, as the command line takes it."""

from __future__ import annotations

import warnings
from pathlib import Path

from keras_seg.data.annotations import ANNOTATIONS, cvat, open_annotations, recognise
from keras_seg.data.builtin import BuiltinDataset
from keras_seg.data.classes import ClassTable, checked_range
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.folder.dataset import FolderDataset
from keras_seg.data.folder.pairs import PairedDataset
from keras_seg.data.folder.scan import scan_folder
from keras_seg.data.layouts import LAYOUTS, open_layout
from keras_seg.data.layouts.tfds import TfdsDataset
from keras_seg.data.readable import ON_ERROR, ReadableDataset
from keras_seg.names import unknown_name

SCHEMES = ("builtin", "tfds", *ANNOTATIONS, *LAYOUTS)


def open_dataset(
    source: str,
    split: str = "train",
    *,
    classes: ClassTable | None = None,
    channels: int = 3,
    on_error: str = "stop",
    value_range: tuple[float, float] | None = None,
) -> SegmentationDataset:
    """Opens a folder of images and masks, or what a scheme names.

    "builtin:cells" is a built-in set, "tfds:NAME" one of TensorFlow Datasets, "cityscapes:FOLDER"
    a folder in an official layout (`keras_seg.data.layouts.LAYOUTS` lists them), "coco:FOLDER" an
    export of an annotation tool (`keras_seg.data.annotations.ANNOTATIONS` lists them), and
    everything else a folder. An export of an annotation tool is recognised from its files. Any
    other folder has images/ and masks/ (`FolderDataset`).

    Args:
        on_error: "stop" raises when a sample that cannot be read is met; "skip" reads all samples
            once, leaves those out (and files without a partner) and warns with their number and
            names.
        value_range: (black, white) of images of more than 8 bits, for a folder whose
            `classes.json` has no "range".

    Raises: ValueError for an unknown scheme; as the readers otherwise.
    """
    if on_error not in ON_ERROR:
        raise ValueError(unknown_name("on_error", on_error, ON_ERROR))
    dataset = _open(str(source), split, classes, channels, strict=on_error == "stop")
    if isinstance(dataset, PairedDataset) and dataset.value_range is None:
        dataset.value_range = checked_range(value_range)
    if on_error == "stop":
        return dataset
    if isinstance(dataset, FolderDataset):
        dataset.masks.check(skips_files=True)
        for problem in scan_folder(dataset.root, split).problems():
            warnings.warn(f"Left out: {problem}", stacklevel=2)
    return ReadableDataset(dataset)


def _open(source: str, split: str, classes: ClassTable | None, channels: int, *, strict: bool):
    scheme, colon, rest = source.partition(":")
    # A single letter before the colon is a drive of Windows.
    if not colon or len(scheme) == 1 or Path(source).exists():
        scheme = recognise(Path(source)) if Path(source).is_dir() else None
        if scheme is not None:
            return open_annotations(
                scheme, source, split, classes=classes, channels=channels, strict=strict
            )
        return FolderDataset(source, split, classes=classes, channels=channels, strict=strict)
    if scheme == "builtin":
        dataset = BuiltinDataset(rest, split)
        if channels != dataset.channels:
            raise ValueError(
                f"{source} has images of {dataset.channels} channels. Received: channels="
                f"{channels}. Set channels to {dataset.channels}."
            )
        return dataset
    if scheme == "tfds":
        return TfdsDataset(rest, split, classes=classes, channels=channels)
    if scheme == "voc" and cvat.has_label_map(Path(rest)):
        scheme = "cvat"  # masks with a label map, as tools write VOC
    if scheme in ANNOTATIONS:
        return open_annotations(
            scheme, rest, split, classes=classes, channels=channels, strict=strict
        )
    if scheme not in LAYOUTS:
        raise ValueError(f"{source}: {unknown_name('kind of data', scheme, SCHEMES)}")
    return open_layout(scheme, rest, split, classes=classes, channels=channels)
