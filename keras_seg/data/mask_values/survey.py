"""The values of many masks of one data set, counted together with which of them occur together."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_seg.data.mask_values.findings import Finding, Remedies, count_labels, label_findings
from keras_seg.data.progress import tracked
from keras_seg.data.reading.images import UNREADABLE
from keras_seg.names import IGNORE_CLASS

SAMPLED = 32
"""So many masks are looked at before a training, and more only where these show no object."""
FEW = 2
"""So many masks of either kind make two ways of writing; a single one may be as it is."""


class MaskSurvey:
    """What the values of masks are, as the files hold them.

    Attributes:
        counts: value → pixels.
        kinds: how many masks hold 0 and 255 alone ("unknown"), a class above 0 and no 255
            ("classes"), both ("both"), or neither ("background").
        errors: of masks that could not be read.
    """

    def __init__(self):
        self.counts: Counter = Counter()
        self.kinds: Counter = Counter()
        self.errors: list[Exception] = []
        self._first: dict[float, Path] = {}
        self._first_of_kind: dict[str, Path] = {}

    def add(self, counts: dict[float, int], path: Path) -> None:
        """Counts one mask; `counts` as `count_labels` gives them."""
        self.counts.update(counts)
        for value in counts:
            self._first.setdefault(value, path)
        kind = kind_of(counts)
        self.kinds[kind] += 1
        self._first_of_kind.setdefault(kind, path)

    @property
    def shows_objects(self) -> bool:
        """Whether a value above 0 other than 255 occurs."""
        return any(value > 0 and value != IGNORE_CLASS for value in self.counts)

    def findings(
        self,
        *,
        num_classes: int | None,
        subject: str,
        remedies: Remedies,
        names: Sequence[str] = (),
        unknown_stated: bool = False,
        sampled: bool = False,
    ) -> list[Finding]:
        """`label_findings` of all masks, each with a file, and masks written in two ways.

        Args:
            unknown_stated: whether the user has said that 255 means unknown.
            sampled: as `label_findings`.
        """
        found = label_findings(
            self.counts,
            num_classes=num_classes,
            subject=subject,
            remedies=remedies,
            names=names,
            sampled=sampled,
        )
        if unknown_stated and sampled:  # a split of background and stated unknown alone
            found = [replace(f, error=f.error and f.kind != "0 and 255") for f in found]
        if not any(finding.error for finding in found) and not unknown_stated:
            found += self._two_ways(num_classes, subject)
        return [self._with_file(finding, num_classes) for finding in found]

    def _two_ways(self, num_classes: int | None, subject: str) -> list[Finding]:
        """Masks of 0 and 255 among others of 0 and 1: two people or programs wrote them."""
        kinds = self.kinds
        if not kinds["unknown"] or not kinds["classes"] or kinds["both"]:
            return []
        few = min(kinds["unknown"], kinds["classes"]) < FEW
        return [
            Finding(
                "two ways",
                f"{subject} are written in two ways: {kinds['unknown']} of {kinds.total()} hold 0 "
                f"and 255 alone, for example {self._first_of_kind['unknown']}, and "
                f"{kinds['classes']} hold classes without any 255, for example "
                f"{self._first_of_kind['classes']}. 255 means unknown, so that the first would "
                "show no object. Renumber them; or, if 255 does mean unknown there, write "
                '"ignore": 255 to classes.json.',
                # Of many classes some images show background and unknown parts alone.
                error=not few and (num_classes or 1 + self._largest()) <= 2,
            )
        ]

    def _largest(self) -> int:
        return int(max((value for value in self.counts if value != IGNORE_CLASS), default=0))

    def _with_file(self, finding: Finding, num_classes: int | None) -> Finding:
        """Names a file where a value outside the classes was seen first."""
        if finding.kind not in ("outside", "negative", "fractional", "not finite"):
            return finding
        unfit = [
            value
            for value in self._first
            if value != IGNORE_CLASS
            and not (value >= 0 and value == round(value) and value < (num_classes or value + 1))
        ]
        if not unfit:
            return finding
        message = f"{finding.message} The first such file is {self._first[unfit[0]]}."
        return replace(finding, message=message)


def kind_of(counts: dict[float, int]) -> str:
    """Of a mask, see `MaskSurvey.kinds`."""
    has_unknown = IGNORE_CLASS in counts
    if any(value > 0 and value != IGNORE_CLASS for value in counts):
        return "both" if has_unknown else "classes"
    return "unknown" if has_unknown and 0 in counts else "background"


def survey_masks(
    paths: Sequence[Path],
    read: Callable[[Path], np.ndarray | None],
    *,
    title: str,
    whole: bool,
    left_out: set[int] = frozenset(),
) -> MaskSurvey:
    """Reads masks as their files hold them; `errors` has why some cannot be read.

    Args:
        read: file → values, or None for a file whose values are no class numbers.
        title: of the progress bar of a survey of all masks.
        whole: whether all masks are read; otherwise `SAMPLED` of them, spread evenly, and the
            others only until one shows an object.
        left_out: values that are not counted.
    """
    survey = MaskSurvey()

    def look(path: Path):
        try:
            values = read(path)
        except UNREADABLE as error:
            return error
        counts = {} if values is None else count_labels(values)
        return {value: count for value, count in counts.items() if value not in left_out}

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for chunk in [paths] if whole else _spread(paths):
            found = pool.map(look, chunk)
            found = tracked(found, title, total=len(chunk)) if whole else found
            for path, counts in zip(chunk, found, strict=True):
                if isinstance(counts, Exception):
                    survey.errors.append(counts)
                elif counts:
                    survey.add(counts, path)
            if survey.shows_objects:
                break
    return survey


def _spread(paths: Sequence[Path]) -> list[list[Path]]:
    """Chunks of `SAMPLED`; the first is spread evenly over all."""
    every = max(1, len(paths) // SAMPLED)
    first = list(paths[::every])[:SAMPLED]
    chosen = set(first)
    rest = [path for path in paths if path not in chosen]
    return [first, *(rest[i : i + SAMPLED] for i in range(0, len(rest), SAMPLED))]
