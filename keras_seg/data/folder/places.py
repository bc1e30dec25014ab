"""Where the images and masks of one split are, in the forms that folders have."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from keras_seg.data.folder.naming import NameRule
from keras_seg.data.folder.one_folder import MixedFolder, divide_folder
from keras_seg.data.folder.pictures import (
    IMAGE_FOLDERS,
    IMAGE_SUFFIXES,
    MASK_FOLDERS,
    MASK_SUFFIXES,
    SPLIT_FOLDERS,
    files_in,
    folders_in,
    split_folders,
)

NAMED_FOLDER = re.compile(
    rf"^(?P<split>{'|'.join(name for names in SPLIT_FOLDERS.values() for name in names)})"
    rf"[_\- ]?(?P<kind>{'|'.join((*IMAGE_FOLDERS, *MASK_FOLDERS))})?$"
)
"""train_images, train_masks, trainannot; and train, whose masks may be in train_masks."""


@dataclass(frozen=True)
class Place:
    """The folders of one split.

    Attributes:
        images, masks, instances: the folders, whether they exist or not.
        separate: whether they hold only this split. Otherwise a list divides their files.
        mixed: the files, if images and masks are in one folder.
        shared_masks: whether the masks of all splits are in one folder.
    """

    images: Path
    masks: Path
    instances: Path
    separate: bool
    mixed: MixedFolder | None = None
    shared_masks: bool = False


def find_place(root: Path, split: str, stated: NameRule | None = None) -> Place:
    """Finds the images and masks of a split.

    Raises: ValueError for a folder that can be read in two ways, and for a split that it does not
        have.
    """
    splits = split_folders(root)
    images = image_folder(root)
    inside = split_folders(images) if images is not None else {}
    above = {
        name: folder
        for name, folder in splits.items()
        if image_folder(folder) is not None or (images is None and _has_pictures(folder))
    }
    if "train" in above and "train" in inside:
        raise ValueError(
            f"{root} can be read in two ways: the images of 'train' are in {above['train']} or in "
            f"{inside['train']}. Remove or rename one of the folders."
        )
    named = _named_folders(root, split) if images is None else None
    if named is not None:
        return named
    if "train" in splits and (above or images is None):
        return _above(root, split, splits, stated)
    if images is not None and "train" in inside:
        return _below(root, images, split, inside)
    return _undivided(root, stated)


def image_folder(folder: Path) -> Path | None:
    """The sub-folder with the images; None if there is none.

    Raises: ValueError if several may hold them.
    """
    return _one_of(folder, IMAGE_FOLDERS, IMAGE_SUFFIXES)


def mask_folder(folder: Path) -> Path | None:
    """The sub-folder with the masks; None if there is none.

    Raises: ValueError if several may hold them.
    """
    return _one_of(folder, MASK_FOLDERS, MASK_SUFFIXES)


def _one_of(parent: Path, names: tuple[str, ...], suffixes: tuple[str, ...]) -> Path | None:
    """The folder of these names that holds pictures. The documented name, the first, wins."""
    if (parent / names[0]).is_dir():
        return parent / names[0]
    folders = [p for p in folders_in(parent) if p.name.lower() in names]
    filled = [p for p in folders if _has_pictures(p, suffixes)]
    if len(filled) > 1:
        raise ValueError(
            f"{parent} has {len(filled)} folders that may hold the {names[0]}: "
            f"{', '.join(path.name for path in filled)}. Rename the right one to {names[0]}."
        )
    return filled[0] if filled else None


def _has_pictures(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> bool:
    """Whether a folder, or a sub-folder, holds pictures; names of image folders count, too."""
    below = [folder, *folders_in(folder)]
    return any(files_in(path, suffixes) for path in below)


def _above(root: Path, split: str, splits: dict[str, Path], stated: NameRule | None) -> Place:
    """train/images and train/masks, or images and masks side by side in train/."""
    folder, separate = _of_split(root, split, splits)
    return _in_folder(folder, separate, stated)


def _below(root: Path, images: Path, split: str, inside: dict[str, Path]) -> Place:
    """images/train and masks/train; or masks/ of all splits."""
    folder, separate = _of_split(images, split, inside)
    masks = mask_folder(root) or root / MASK_FOLDERS[0]
    used = next(name for name, path in inside.items() if path == folder)
    of_split = split_folders(masks).get(used, masks / folder.name)
    shared = not of_split.is_dir() and masks.is_dir() and bool(files_in(masks, MASK_SUFFIXES))
    instances = split_folders(root / "instances").get(used, root / "instances" / folder.name)
    return Place(folder, masks if shared else of_split, instances, separate, shared_masks=shared)


def _undivided(root: Path, stated: NameRule | None) -> Place:
    """images/ and masks/, or images and masks side by side."""
    return _in_folder(root, False, stated)


def _in_folder(folder: Path, separate: bool, stated: NameRule | None) -> Place:
    images, masks = image_folder(folder), mask_folder(folder)
    instances = folder / "instances"
    if images is None and folder.is_dir() and files_in(folder, IMAGE_SUFFIXES):
        if masks is not None:  # images lie beside the folder of their masks
            return Place(folder, masks, instances, separate)
        mixed = divide_folder(folder, stated)
        if mixed is not None:
            return Place(folder, folder, instances, separate, mixed)
    images = images or folder / IMAGE_FOLDERS[0]
    return Place(images, masks or folder / MASK_FOLDERS[0], instances, separate)


def _of_split(parent: Path, split: str, folders: dict[str, Path]) -> tuple[Path, bool]:
    """The folder of a split, and whether it holds this split alone.

    Without a folder for validation, a part of the training folder is used.

    Raises: ValueError for another split without a folder.
    """
    if split == "train":
        return folders["train"], "val" in folders
    if split in folders:
        return folders[split], True
    if split == "val":
        return folders["train"], False
    raise ValueError(
        f"{parent} has no split {split!r}. It has the folders "
        f"{', '.join(sorted(path.name for path in folders.values()))}."
    )


def _named_folders(root: Path, split: str) -> Place | None:
    """train_images/ and train_masks/, or train/ and train_masks/; None for other folders."""
    found: dict[str, dict[str, Path]] = {"images": {}, "masks": {}}
    for path in folders_in(root):
        match = NAMED_FOLDER.match(path.name.lower())
        if match is None:
            continue
        name = next(s for s, names in SPLIT_FOLDERS.items() if match["split"] in names)
        kind = "masks" if match["kind"] in MASK_FOLDERS else "images"
        if match["kind"] is None and image_folder(path) is not None:
            return None
        if found[kind].setdefault(name, path) != path:
            raise ValueError(
                f"{root} has two folders for the {kind} of {name!r}: {found[kind][name].name} and "
                f"{path.name}. Merge or rename one."
            )
    if not found["images"].get("train") or not found["masks"].get("train"):
        return None
    images, separate = _of_split(root, split, found["images"])
    used = next(name for name, path in found["images"].items() if path == images)
    masks = found["masks"].get(used, root / f"{images.name}_masks")
    return Place(images, masks, root / f"{images.name}_instances", separate)
