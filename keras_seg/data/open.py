"""One name for every source of data, as the command line takes it."""

from __future__ import annotations

from keras_seg.data.builtin import BuiltinDataset
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.folder import FolderDataset

BUILTIN_PREFIX = "builtin:"


def open_dataset(
    source: str,
    split: str = "train",
    *,
    classes: ClassTable | None = None,
    channels: int = 3,
) -> SegmentationDataset:
    """Opens "builtin:cells" (or another built-in set), or a folder of images and masks.

    Raises: as FolderDataset and BuiltinDataset.
    """
    if str(source).startswith(BUILTIN_PREFIX):
        return BuiltinDataset(str(source).removeprefix(BUILTIN_PREFIX), split)
    return FolderDataset(source, split, classes=classes, channels=channels)
