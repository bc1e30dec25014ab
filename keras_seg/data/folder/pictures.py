"""The endings of image and mask files, and the names of the folders that hold them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keras_seg.data.reading.arrays import ARRAY_SUFFIX

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ARRAY_SUFFIX)
JPEG_SUFFIXES = (".jpg", ".jpeg")
IMAGE_SUFFIXES = (*JPEG_SUFFIXES, ".webp", *MASK_SUFFIXES)
IMAGE_FOLDERS = ("images", "image", "imgs", "img", "img_dir", "jpegimages", "photos")
MASK_FOLDERS = (
    "masks",
    "mask",
    "labels",
    "label",
    "annotations",
    "annotation",
    "annots",
    "annot",
    "ann_dir",
    "gt",
    "groundtruth",
    "ground_truth",
    "segmentations",
    "segmentation",
    "segmentationclass",
    "segmentationclasspng",
    "labels_png",
)
"""Names of folders in lower case. The first of each list is the documented name."""
SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""Names of the folders of each split."""


def folders_in(parent: Path) -> list[Path]:
    """The sub-folders, sorted, without hidden ones."""
    if not parent.is_dir():
        return []
    return sorted(path for path in parent.iterdir() if path.is_dir() and path.name[0] != ".")


def files_in(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files with one of these endings, sorted, without hidden ones."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and path.name[0] != "." and path.is_file()
    )


def split_folders(parent: Path) -> dict[str, Path]:
    """Split → its sub-folder, such as valid/ for "val".

    Raises: ValueError for two folders of one split.
    """
    folders: dict[str, Path] = {}
    for path in folders_in(parent):
        split = next((s for s, names in SPLIT_FOLDERS.items() if path.name.lower() in names), None)
        if split in folders:
            raise ValueError(
                f"{parent} has two folders for the split {split!r}: {folders[split].name} and "
                f"{path.name}. Merge or rename one."
            )
        if split is not None:
            folders[split] = path
    return folders
