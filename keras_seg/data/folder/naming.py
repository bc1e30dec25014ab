"""Which mask belongs to which image, by one rule for the names of all files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

MASK_WORDS = (
    "mask|masks|label|labels|labelids|labeltrainids|seg|segm|segmentation|gt|groundtruth|l|"
    "annot|annotation|matte|m|p"
)
MASK_ENDING = re.compile(rf"[_\-. ]({MASK_WORDS})$")
MASK_BEGINNING = re.compile(rf"^({MASK_WORDS})[_\-. ]")


@dataclass(frozen=True)
class NameRule:
    """How the names of images and masks differ, in lower case without their endings.

    Attributes:
        image_prefix, image_suffix: what all images begin with and end in.
        mask_prefix, mask_suffix: what all masks begin with and end in.
    """

    image_prefix: str = ""
    image_suffix: str = ""
    mask_prefix: str = ""
    mask_suffix: str = ""

    def image_key(self, stem: str) -> str | None:
        """The part of an image's name that its mask shares; None if the rule does not fit."""
        return _middle(stem.casefold(), self.image_prefix, self.image_suffix)

    def mask_key(self, stem: str) -> str | None:
        """The part of a mask's name that its image shares; None if the rule does not fit."""
        return _middle(stem.casefold(), self.mask_prefix, self.mask_suffix)

    def image_pattern(self) -> str:
        """The names of images, such as "X_rgb"."""
        return f"{self.image_prefix}X{self.image_suffix}"

    def mask_pattern(self) -> str:
        """The names of masks, such as "X_mask"."""
        return f"{self.mask_prefix}X{self.mask_suffix}"


def named_as_images(
    masks: Mapping[str, Path], images: Mapping[str, Path], stated: NameRule | None = None
) -> tuple[dict[str, Path], NameRule]:
    """Renames masks to the stems of their images, if one rule fits every mask.

    If no stem is equal, other upper and lower case, a common prefix or suffix of the masks, and
    common prefixes or suffixes of both are tried, in this order. A rule that the user states is
    used alone, and files to which it does not apply are left out.

    Returns: (image stem → mask file, the rule). Masks that no rule fits keep their names.
    """
    if stated is not None:
        keys = {key: stem for stem in images if (key := stated.image_key(stem)) is not None}
        fitting = {s: p for s, p in masks.items() if stated.mask_key(s) is not None}
        renamed = {keys.get(stated.mask_key(s) or "", s): path for s, path in fitting.items()}
        return renamed, stated
    if not masks or masks.keys() & images.keys():
        return dict(masks), NameRule()
    for rule in _rules(sorted(images), sorted(masks)):
        renamed = _renamed(masks, images, rule)
        if renamed is not None:
            return renamed, rule
    return dict(masks), NameRule()


def affixes_between(short: Iterable[str], long: str) -> list[tuple[str, str]]:
    """The prefixes and suffixes that turn one of these stems into a longer one.

    A part of a number is no affix: the image 1 and the mask 11 may be different pictures.
    """
    stems = short if isinstance(short, set | dict) else set(short)
    affixes = []
    for length in range(len(long) - 1, 0, -1):
        start, end = long[:length], long[-length:]
        if start in stems and not long[length].isdigit():
            affixes.append(("", long[length:]))
        if end in stems and not long[-length - 1].isdigit():
            affixes.append((long[:-length], ""))
    return affixes


def is_named_mask(stem: str) -> bool:
    """Whether a name begins with or ends in a word for masks, such as "mask_a" or "a_gt"."""
    folded = stem.casefold()
    return bool(MASK_ENDING.search(folded) or MASK_BEGINNING.search(folded))


def common_affixes(stems: Iterable[str]) -> tuple[str, str]:
    """The common start and end of all names, without digits, which number the files."""
    stems = sorted(stems)
    head = _common_start(stems)
    tail = _common_start([stem[len(head) :][::-1] for stem in stems])[::-1]
    return head.rstrip("0123456789"), tail.lstrip("0123456789")


def _rules(images: list[str], masks: list[str]) -> list[NameRule]:
    folded = {stem.casefold() for stem in images}
    if len(folded) < len(images):
        return []
    first = min(masks).casefold()
    rules = [NameRule()] if first in folded else []
    rules += [NameRule("", "", *affix) for affix in affixes_between(folded, first)]
    if len(images) > 1 and len(masks) > 1:
        both = common_affixes(folded), common_affixes(stem.casefold() for stem in masks)
        if is_named_mask(f"{both[1][0]}x{both[1][1]}"):
            rules.append(NameRule(*both[0], *both[1]))
    return rules


def _renamed(
    masks: Mapping[str, Path], images: Mapping[str, Path], rule: NameRule
) -> dict[str, Path] | None:
    """Image stem → mask file; None if the rule does not fit every mask."""
    stems = {rule.image_key(stem): stem for stem in images}
    if None in stems or len(stems) < len(images):
        return None
    renamed: dict[str, Path] = {}
    for stem, path in masks.items():
        key = rule.mask_key(stem)
        image = stems.get(key) if key else None
        if image is None or image in renamed:
            return None
        renamed[image] = path
    return renamed


def _middle(stem: str, head: str, tail: str) -> str | None:
    fits = stem.startswith(head) and stem.endswith(tail) and len(stem) > len(head + tail)
    return stem[len(head) : len(stem) - len(tail)] if fits else None


def _common_start(stems: list[str]) -> str:
    low, high = min(stems), max(stems)
    length = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    return low[:length]
