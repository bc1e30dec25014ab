"""Images and masks from a folder, paired by file stem."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np

from keras_seg.data.classes import ClassTable, read_class_file
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.images import read_image, read_mask
from keras_seg.names import IGNORE_CLASS

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
SPLITS = ("train", "val")
VALIDATION_SHARE = 0.2
"""Share of the images that validates when the folder names no split."""


class FolderDataset(SegmentationDataset):
    """`images/X.jpg` with `masks/X.png`, whose pixel values are class indices.

    The split comes from the first of these that exists: the sub-folders `train/` and `val/` (each
    with `images/` and `masks/`); `splits.json` ({"train": [stems], "val": [stems]}); `train.txt`
    and `val.txt` (one stem a line); otherwise a fixed fifth of the stems validates.

    Classes come from `classes` or from `classes.json` (see `keras_seg.data.classes`); without
    either they are numbered up to the largest value in the training masks.

    Args:
        root: the folder.
        split: "train" or "val".
        channels: 3 (grey images are repeated) or 1 (colour images become grey).

    Raises: FileNotFoundError for missing folders or masks; ValueError for a wrong split file or
        class table, and, when a sample is read, for unreadable files, sizes that differ, mask
        values outside the class table and images with transparency.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        *,
        classes: ClassTable | None = None,
        channels: int = 3,
    ):
        self.root, self.split, self.channels = Path(root), split, channels
        self.name = self.root.name
        if split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}. Received: {split!r}")
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 (grey) or 3 (RGB). Received: {channels}")
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"There is no data folder {self.root}. Pass a folder with images/ and masks/, or "
                "a built-in data set such as builtin:cells."
            )
        self.pairs = find_pairs(self.root, split)
        self._ignored: tuple[int, ...] = ()
        class_file = self.root / "classes.json"
        if class_file.exists():
            self.classes, self._ignored = read_class_file(class_file)
        if classes is not None:
            self.classes = classes
        elif not class_file.exists():
            self.classes = _numbered_classes(self.root)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        image_path, mask_path = self.pairs[index]
        image, mask = read_image(image_path, self.channels), self._read_mask(mask_path)
        if image.shape[:2] != mask.shape:
            raise ValueError(
                f"An image and its mask differ in size: {image_path} is {_size(image)}, "
                f"{mask_path} is {_size(mask)} (width x height). Export the mask again from the "
                "image that it belongs to."
            )
        return Sample(image_path.stem, image, mask)

    def _read_mask(self, path: Path) -> np.ndarray:
        mask = read_mask(path)
        for value in self._ignored:
            mask[mask == value] = IGNORE_CLASS
        counted = mask[mask != IGNORE_CLASS]
        if counted.size and counted.max() >= len(self.classes):
            wrong = sorted(int(v) for v in np.unique(counted) if v >= len(self.classes))
            raise ValueError(
                f"{path} holds values outside the class table: {wrong[:8]}. The table has the "
                f"{len(self.classes)} classes 0..{len(self.classes) - 1} ({_names(self.classes)})"
                f", and {IGNORE_CLASS} means unknown. Correct the mask, or add the classes, or "
                'list the values under "ignore" in classes.json.'
            )
        return mask


def find_pairs(root: Path, split: str) -> list[tuple[Path, Path]]:
    """(image, mask) paths of a split, sorted by stem. Errors as FolderDataset's."""
    folder = root / split if (root / "train").is_dir() else root
    images = _by_stem(folder / "images", IMAGE_SUFFIXES)
    masks = _by_stem(folder / "masks", MASK_SUFFIXES)
    stems = _stems_of_split(folder, split, sorted(images)) if folder == root else sorted(images)
    for kind, files in (("image", images), ("mask", masks)):
        missing = [stem for stem in stems if stem not in files]
        if missing:
            raise FileNotFoundError(
                f"{len(missing)} of {len(stems)} samples in {folder} have no {kind}, for example "
                f"{missing[:3]}. Every image needs a mask of the same stem: images/X.jpg and "
                "masks/X.png."
            )
    unused = sorted(set(masks) - set(images))
    if unused:
        raise FileNotFoundError(
            f"{len(unused)} masks in {folder} have no image, for example {unused[:3]}. Add the "
            "images or remove the masks."
        )
    if not stems:
        raise ValueError(
            f"The split {split!r} of {root} is empty. Add images, or name other stems."
        )
    return [(images[stem], masks[stem]) for stem in stems]


def _by_stem(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"There is no folder {folder}. A data set has images/ and masks/, either directly or "
            "under train/ and val/."
        )
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if path.stem in files:
            raise ValueError(
                f"{path} and {files[path.stem]} have the same stem, so masks cannot be paired. "
                "Rename one of them."
            )
        files[path.stem] = path
    return files


def _stems_of_split(root: Path, split: str, stems: list[str]) -> list[str]:
    split_file, list_file = root / "splits.json", root / f"{split}.txt"
    if split_file.exists():
        try:
            return sorted(str(stem) for stem in json.loads(split_file.read_text())[split])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{split_file} names no split {split!r}: {error!r}. It must look like "
                '{"train": ["a", "b"], "val": ["c"]}, with stems of the image files.'
            ) from error
    if list_file.exists():
        lines = (line.strip() for line in list_file.read_text().splitlines())
        return sorted(Path(line).stem for line in lines if line)
    shuffled = random.Random(0).sample(stems, len(stems))
    held_out = max(1, round(len(stems) * VALIDATION_SHARE))
    return sorted(shuffled[:held_out] if split == "val" else shuffled[held_out:])


def _numbered_classes(root: Path) -> ClassTable:
    largest = 0
    for _, mask_path in find_pairs(root, "train"):
        mask = read_mask(mask_path)
        largest = max(largest, int(mask[mask != IGNORE_CLASS].max(initial=0)))
    if largest >= IGNORE_CLASS:
        raise ValueError(
            f"The masks of {root} hold values up to {largest}, and there is no classes.json. Masks "
            "hold class indices from 0; if these hold colours or instance numbers, convert them."
        )
    return ClassTable.numbered(max(2, largest + 1))


def _size(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"


def _names(classes: ClassTable) -> str:
    return ", ".join(classes.names[:12]) + (", ..." if len(classes) > 12 else "")
