"""Images and masks from a folder, paired by file stem."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from keras_seg.data.arrays import ARRAY_SUFFIX
from keras_seg.data.classes import ClassFile, ClassTable, checked_range, read_class_file
from keras_seg.data.images import read_mask
from keras_seg.data.pairs import Pair, PairedDataset, ValueMap
from keras_seg.names import IGNORE_CLASS

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ARRAY_SUFFIX)
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".webp", *MASK_SUFFIXES)
JPEG_MASKS = " Masks are not read from JPEG files, whose compression changes class indices."
SPLITS = ("train", "val")
VALIDATION_SHARE = 0.2
"""Share of the images that validates when the folder names no split."""


class FolderDataset(PairedDataset):
    """`images/X.jpg` with `masks/X.png`, whose pixel values are class indices.

    Masks are grey or palette files of class indices (or of the "values" that `classes.json` lists
    for the classes), or RGB files of the table's colours. A folder
    `instances/` beside them may hold X.png or X.tif with a number for each object, 0 for none.

    The split comes from the first of these that exists: the sub-folders `train/` and `val/` (each
    with `images/` and `masks/`); `splits.json` ({"train": [stems], "val": [stems]}); `train.txt`
    and `val.txt` (one stem a line); otherwise a fixed fifth of the stems validates.

    Classes come from `classes` or from `classes.json` (see `keras_seg.data.classes`); without
    either they are numbered up to the largest value in the training masks.

    Args:
        root: the folder.
        split: "train" or "val".
        channels: 3 (grey images are repeated), 1 (colour images become grey), or the number of
            channels of .npy and TIFF files.
        value_range: (black, white) of images with more than 8 bits, in place of "range" in
            `classes.json`.
        strict: whether an image without a mask, or a mask without an image, is an error; if not,
            it is left out. `keras_seg.data.verify` looks at such folders.

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
        value_range: tuple[float, float] | None = None,
        strict: bool = True,
    ):
        self.root = Path(root)
        if split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}. Received: {split!r}")
        if not self.root.is_dir():
            raise FileNotFoundError(
                f"There is no data folder {self.root}. Pass a folder with images/ and masks/, or "
                "a built-in data set such as builtin:cells."
            )
        scan = scan_folder(self.root, split)
        pairs = scan.pairs(strict=strict)
        self._file = _class_file(self.root, classes, strict=strict)
        self._instances = _instances_beside(scan)
        super().__init__(
            pairs,
            self._read,
            name=self.root.name,
            split=split,
            classes=self._file.classes,
            channels=channels,
            value_range=checked_range(value_range) or self._file.value_range,
        )

    def _read(self, path: Path):
        mask = self._read_mask(path)
        return (mask, read_mask(self._instances[path.stem])) if self._instances else mask

    def _read_mask(self, path: Path) -> np.ndarray:
        file = self._file
        if file.values:
            numbers = {value: number for number, value in enumerate(file.values)}
            unknown = dict.fromkeys((*file.ignored, IGNORE_CLASS), IGNORE_CLASS)
            return ValueMap(unknown | numbers)(read_mask(path), path)
        mask = read_mask(path, self.classes, file.ignored_colors)
        for value in file.ignored:
            mask[mask == value] = IGNORE_CLASS
        return mask


@dataclass(frozen=True)
class FolderScan:
    """The files of one split of a folder, paired or not.

    images, masks: all files of the folder by stem.
    stems: of the samples of the split, sorted.
    """

    root: Path
    folder: Path
    split: str
    images: dict[str, Path]
    masks: dict[str, Path]
    stems: list[str]

    def problems(self) -> list[str]:
        """What keeps files from being paired, each with its cure; empty where nothing does."""
        found = []
        for kind, files in (("image", self.images), ("mask", self.masks)):
            missing = [stem for stem in self.stems if stem not in files]
            if missing:
                found.append(
                    f"{len(missing)} of {len(self.stems)} samples in {self.folder} have no {kind}, "
                    f"for example {missing[:3]}. Every image needs a mask of the same stem: "
                    "images/X.jpg and masks/X.png."
                    + (JPEG_MASKS if kind == "mask" and self._has_jpeg_masks() else "")
                )
        unused = sorted(set(self.masks) - set(self.images))
        if unused:
            found.append(
                f"{len(unused)} masks in {self.folder} have no image, for example {unused[:3]}. "
                "Add the images or remove the masks."
            )
        return found

    def _has_jpeg_masks(self) -> bool:
        return any((self.folder / "masks").glob("*.jp*g"))

    def pairs(self, *, strict: bool = True) -> list[Pair]:
        """The samples; ValueError if there are none, FileNotFoundError for the first problem.

        Without `strict` files that have no partner are left out.
        """
        for problem in self.problems() if strict else ():
            raise FileNotFoundError(problem)
        stems = [stem for stem in self.stems if stem in self.images and stem in self.masks]
        if not stems:
            raise ValueError(
                f"The split {self.split!r} of {self.root} is empty. Add images, or name other "
                "stems."
            )
        return [Pair(self.images[stem], self.masks[stem]) for stem in stems]


def scan_folder(root: Path, split: str) -> FolderScan:
    """Lists a split. Errors as FolderDataset's, but for files without a partner."""
    folder = root / split if (root / "train").is_dir() else root
    images = _by_stem(folder / "images", IMAGE_SUFFIXES)
    masks = _by_stem(folder / "masks", MASK_SUFFIXES)
    stems = _stems_of_split(folder, split, sorted(images)) if folder == root else sorted(images)
    return FolderScan(root, folder, split, images, masks, stems)


def _instances_beside(scan: FolderScan) -> dict[str, Path]:
    folder = scan.folder / "instances"
    if not folder.is_dir():
        return {}
    files = _by_stem(folder, MASK_SUFFIXES)
    missing = [stem for stem in scan.stems if stem not in files]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} of {len(scan.stems)} samples have no file in {folder}, for example "
            f"{missing[:3]}. Add them, or rename the folder."
        )
    return files


def _class_file(root: Path, classes: ClassTable | None, *, strict: bool) -> ClassFile:
    path = root / "classes.json"
    if not path.exists():
        return ClassFile(classes or _numbered_classes(root, strict=strict))
    stated = read_class_file(path)
    return stated if classes is None else replace(stated, classes=classes)


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
            named = json.loads(split_file.read_text("utf-8-sig"))[split]
            if not isinstance(named, list):
                raise TypeError(f"{split!r} is no list")
            return sorted(map(str, named))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                f"{split_file} names no split {split!r}: {error!r}. It must look like "
                '{"train": ["a", "b"], "val": ["c"]}, with stems of the image files.'
            ) from error
    if list_file.exists():
        try:
            lines = map(str.strip, list_file.read_text("utf-8-sig").splitlines())
        except UnicodeDecodeError as error:
            raise ValueError(f"{list_file} is no list of stems in UTF-8: {error}.") from error
        return sorted(line if line in stems else Path(line).stem for line in lines if line)
    shuffled = random.Random(0).sample(stems, len(stems))
    held_out = max(1, round(len(stems) * VALIDATION_SHARE))
    return sorted(shuffled[:held_out] if split == "val" else shuffled[held_out:])


def _numbered_classes(root: Path, *, strict: bool) -> ClassTable:
    largest, present = 0, set()
    for _, mask_path in scan_folder(root, "train").pairs(strict=strict):
        try:
            mask = read_mask(mask_path)
        except ValueError:
            if strict:
                raise
            continue
        present.update(np.unique(mask).tolist())
        largest = max(largest, int(mask[mask != IGNORE_CLASS].max(initial=0)))
    if largest >= IGNORE_CLASS:
        raise ValueError(
            f"The masks of {root} hold values up to {largest}, and there is no classes.json. Masks "
            "hold class indices from 0; if these hold colours or instance numbers, convert them."
        )
    if present == {0, IGNORE_CLASS}:
        raise ValueError(
            f"The masks of {root} hold 0 and {IGNORE_CLASS} alone, and {IGNORE_CLASS} means "
            'unknown unless classes.json says otherwise. If it is an object, write {"names": '
            '["background", "object"], "values": [0, 255]} to classes.json.'
        )
    return ClassTable.numbered(max(2, largest + 1))
