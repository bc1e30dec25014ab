"""Which files of an undivided folder train, validate and test."""

from __future__ import annotations

import json
import random
from pathlib import Path

from keras_seg.data.folder.pictures import SPLIT_FOLDERS

VALIDATION_SHARE = 0.2
"""Share of the images for validation, if the folder defines no split."""
SPLIT_FILE = "splits.json"
VOC_LISTS = Path("ImageSets", "Segmentation")


def divided_stems(root: Path, split: str, stems: list[str], *, exported: bool = False) -> list[str]:
    """The stems of a split: by splits.json, by lists such as train.txt, or else a fixed part.

    Args:
        root: the data folder.
        split: the split.
        stems: stems of all images.
        exported: whether a tool wrote the lists. Its train.txt is then no division if it lists all
            images.

    Raises: ValueError for a wrong split file, and for a test split that no file lists.
    """
    split_file, lists = root / SPLIT_FILE, _dividing_lists(root, stems, exported)
    if split_file.exists():
        return sorted(_stem(str(name), stems) for name in _listed_in_json(split_file, split))
    if split in lists:
        return _listed_stems(lists[split], stems)
    if split == "test":
        raise ValueError(
            f"{root} has no split 'test'. Name its images in splits.json, or move them to test/."
        )
    elsewhere = {stem for path in lists.values() for stem in _listed_stems(path, stems)}
    if {"train", "val"} & lists.keys():
        return [stem for stem in stems if stem not in elsewhere]
    stems = [stem for stem in stems if stem not in elsewhere]
    shuffled = random.Random(0).sample(stems, len(stems))
    held_out = max(1, round(len(stems) * VALIDATION_SHARE))
    return sorted(shuffled[:held_out] if split == "val" else shuffled[held_out:])


def _dividing_lists(root: Path, stems: list[str], exported: bool) -> dict[str, Path]:
    """Split → its list, without a list of a tool that names all images."""
    lists = _list_files(root)
    alone = exported and "train" in lists and "val" not in lists
    if alone and {*stems} <= {*_listed_stems(lists["train"], stems)}:
        del lists["train"]
    return lists


def split_source(root: Path, split: str, stems: list[str], *, exported: bool = False) -> str:
    """What divides the images into splits, in words.

    Args:
        root: the data folder.
        split: the split.
        stems: stems of all images.
        exported: as for `divided_stems`.
    """
    if (root / SPLIT_FILE).exists():
        return f"split by {SPLIT_FILE}"
    lists = _dividing_lists(root, stems, exported)
    if split in lists:
        return f"split by {lists[split].relative_to(root).as_posix()}"
    if {"train", "val"} & lists.keys():
        listed = " and ".join(path.name for path in lists.values())
        return f"split {split!r}: the images that {listed} does not list"
    number = len(stems)
    held_out = max(1, round(number * VALIDATION_SHARE))
    return (
        f"no validation split is stated, so a fixed {VALIDATION_SHARE:.0%} is used for validation "
        f"({held_out} of {number} images)"
    )


def _list_files(root: Path) -> dict[str, Path]:
    """Split → its list of stems."""
    lists = {}
    for split, names in SPLIT_FOLDERS.items():
        paths = (folder / f"{name}.txt" for folder in (root, root / VOC_LISTS) for name in names)
        path = next(filter(Path.exists, paths), None)
        if path is not None:
            lists[split] = path
    return lists


def _listed_stems(path: Path, stems: list[str]) -> list[str]:
    try:
        lines = map(str.strip, path.read_text("utf-8-sig").splitlines())
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a list of stems in UTF-8: {error}.") from error
    return sorted(_stem(line, stems) for line in lines if line)


def _listed_in_json(path: Path, split: str) -> list:
    try:
        content = json.loads(path.read_text("utf-8-sig"))
        names = [name for name in SPLIT_FOLDERS[split] if isinstance(content, dict)]
        named = next((content[name] for name in names if name in content), None)
        if named is None:
            entries = sorted(content) if isinstance(content, dict) else content
            raise ValueError(f"it has {entries!r}")
        if not isinstance(named, list):
            raise TypeError(f"{split!r} is not a list")
        return named
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(
            f"{path} names no split {split!r}: {error}. It must look like "
            '{"train": ["a", "b"], "val": ["c"]}, with stems of the image files.'
        ) from error


def _stem(name: str, stems: list[str]) -> str:
    """The stem of a name in a split file, which may have a suffix or a folder."""
    return name if name in stems else Path(name).stem
