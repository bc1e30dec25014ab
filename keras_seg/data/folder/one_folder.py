"""Images and masks in one folder: `a.jpg` with `a.png`, or `a.png` with `a_mask.png`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_seg.data.folder.naming import (
    NameRule,
    affixes_between,
    is_named_mask,
    named_as_images,
)
from keras_seg.data.folder.pictures import IMAGE_SUFFIXES, MASK_SUFFIXES, files_in

PHOTO_SUFFIXES = tuple(suffix for suffix in IMAGE_SUFFIXES if suffix not in MASK_SUFFIXES)
SMALLEST_SHARE = 1 / 3
"""Smallest share of the files that an unknown prefix or suffix must cover to mark masks."""


@dataclass(frozen=True)
class MixedFolder:
    """The files of a folder, divided into images and masks.

    Attributes:
        images, masks: the files.
        rule: how their names differ; None for equal stems.
        pattern: the names, for messages, such as "X.jpg with X.png".
    """

    images: list[Path]
    masks: list[Path]
    rule: NameRule | None
    pattern: str


def divide_folder(folder: Path, stated: NameRule | None = None) -> MixedFolder | None:
    """Divides a folder that holds images and masks; None if it holds no masks.

    Raises: ValueError for a folder that can be read in two ways, with both.
    """
    files = files_in(folder, IMAGE_SUFFIXES)
    by_name = _by_names(files)
    if stated is not None:
        named = [path for path in files if stated.mask_key(path.stem) is not None]
        rest = [path for path in files if path not in named]
        other = {path for each in by_name for path in each.masks} - set(named)
        images = [path for path in rest if path not in other]
        return MixedFolder(images, named, stated, stated.mask_pattern()) if named else None
    readings = [*_by_endings(files), *by_name] or _by_words(files)
    if len(readings) > 1:
        first, second, *_ = readings
        suffix = next((each.rule.mask_suffix for each in readings if each.rule), "_mask")
        raise ValueError(
            f"{folder} can be read in two ways: {first.pattern}, or {second.pattern}. Move the "
            "images to images/ and the masks to masks/, or write the suffix of the masks to "
            f'classes.json: "mask_suffix": "{suffix or "_mask"}".'
        )
    return readings[0] if readings else None


def _by_endings(files: Sequence[Path]) -> list[MixedFolder]:
    """`X.jpg` with `X.png`. If neither ending is a photo's, either may be the mask."""
    photos = [path for path in files if path.suffix.lower() in PHOTO_SUFFIXES]
    others = [path for path in files if path.suffix.lower() in MASK_SUFFIXES]
    stems = {path.stem for path in photos} & {path.stem for path in others}
    if len(stems) >= max(1, len(files) * SMALLEST_SHARE * 0.5):
        masks = [path for path in others if path.stem in stems]
        pattern = f"X{photos[0].suffix.lower()} with X{masks[0].suffix.lower()}"
        images = [path for path in files if path not in masks and not is_named_mask(path.stem)]
        return [MixedFolder(images, masks, None, pattern)]
    endings = sorted({path.suffix.lower() for path in others})
    if photos or len(endings) != 2:
        return []
    first, second = ([p for p in others if p.suffix.lower() == ending] for ending in endings)
    if {path.stem for path in first} != {path.stem for path in second}:
        return []
    patterns = [f"images X{a} with masks X{b}" for a, b in (endings, endings[::-1])]
    return [
        MixedFolder(images, masks, None, pattern)
        for images, masks, pattern in zip((first, second), (second, first), patterns, strict=True)
    ]


def _by_names(files: Sequence[Path]) -> list[MixedFolder]:
    """`X` with `X_mask`, for each prefix or suffix that many files have."""
    stems = {path.stem.casefold() for path in files}
    count = Counter(affix for stem in stems for affix in affixes_between(stems, stem))
    affixes = [
        affix
        for affix, number in count.items()
        if is_named_mask(f"{affix[0]}x{affix[1]}")
        or (number >= max(2, len(stems) * SMALLEST_SHARE) and _separated(*affix))
    ]
    rules = {affix: NameRule("", "", *affix) for affix in affixes}
    marked = {
        affix: [p for p in files if _other_stem(rule, p, stems)] for affix, rule in rules.items()
    }
    masks = {path for paths in marked.values() for path in paths}
    images = [path for path in files if path not in masks]
    return [
        MixedFolder(images, marked[affix], rule, f"X with {rule.mask_pattern()}")
        for affix, rule in sorted(rules.items())
    ]


def _other_stem(rule: NameRule, path: Path, stems: set[str]) -> bool:
    return rule.mask_key(path.stem) in stems


def _separated(head: str, tail: str) -> bool:
    """Whether an affix is a word of its own, such as "_a", and not a part of a word or number."""
    letters = any(character.isalpha() for character in head + tail)
    return letters and not (tail[:1].isalnum() or head[-1:].isalnum())


def _by_words(files: Sequence[Path]) -> list[MixedFolder]:
    """`X_sat` with `X_mask`: masks by a word for masks, if every image then has one."""
    masks = [path for path in files if is_named_mask(path.stem)]
    images = [path for path in files if path not in masks]
    if not masks or len(masks) != len(images):
        return []
    images_by_stem = {path.stem: path for path in images}
    paired, rule = named_as_images({path.stem: path for path in masks}, images_by_stem)
    if paired.keys() != images_by_stem.keys():
        return []
    return [MixedFolder(images, masks, rule, f"{rule.image_pattern()} with {rule.mask_pattern()}")]
