"""Counts the values in many mask files, and which values occur in the same file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np

from keras_seg.data.mask_values.counts import count_labels
from keras_seg.data.mask_values.finding import Finding
from keras_seg.data.mask_values.findings import label_findings
from keras_seg.data.mask_values.remedies import Remedies
from keras_seg.data.progress import tracked
from keras_seg.data.reading.images import UNREADABLE
from keras_seg.names import IGNORE_CLASS
from keras_seg.parallel import available_threads, in_order

SAMPLED = 32
"""Number of masks that are read before a training; more only if these show no object."""
FEW = 2
"""Number of masks of either kind from which they count as written in two ways."""


class MaskSurvey:
    """The values in mask files, before they are converted to classes.

    Attributes:
        counts: value → number of pixels.
        kinds: number of masks that hold only 0 and 255 ("unknown"), a class above 0 and no 255
            ("classes"), both ("both"), or neither ("background").
        errors: the errors of masks that could not be read.
    """

    def __init__(self) -> None:
        self.counts: Counter = Counter()
        self.kinds: Counter = Counter()
        self.errors: list[Exception] = []
        self._first: dict[float, Path] = {}
        self._first_of_kind: dict[str, Path] = {}

    def add(self, counts: dict[float, int], path: Path) -> None:
        """Adds the counts of one mask, from `count_labels`."""
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
        """`label_findings` of all masks, with an example file, and masks written in two ways.

        Args:
            num_classes, subject, remedies, names, sampled: as for `label_findings`.
            unknown_stated: whether the user has stated that 255 means unknown.
        """
        findings = label_findings(
            self.counts,
            num_classes=num_classes,
            subject=subject,
            remedies=remedies,
            names=names,
            sampled=sampled,
        )
        if unknown_stated and sampled:  # the split may hold only background and unknown pixels
            findings = [replace(f, error=f.error and f.kind != "0 and 255") for f in findings]
        if not any(finding.error for finding in findings) and not unknown_stated:
            findings += self._two_ways(num_classes, subject)
        return [self._with_file(finding, num_classes) for finding in findings]

    def _two_ways(self, num_classes: int | None, subject: str) -> list[Finding]:
        """Some masks hold 0 and 255, others 0 and 1: they come from two people or programs."""
        kinds = self.kinds
        if not kinds["unknown"] or not kinds["classes"] or kinds["both"]:
            return []
        few = min(kinds["unknown"], kinds["classes"]) < FEW
        return [
            Finding(
                "two ways",
                f"{subject} are written in two ways: {kinds['unknown']} of {kinds.total()} hold "
                f"only 0 and 255, for example {self._first_of_kind['unknown']}, and "
                f"{kinds['classes']} hold classes without any 255, for example "
                f"{self._first_of_kind['classes']}. 255 means unknown, so that the first would "
                "show no object. Renumber them; or, if 255 does mean unknown there, write "
                '"ignore": 255 to classes.json.',
                # With many classes some images show only background and unknown pixels.
                error=not few and (num_classes or 1 + self._largest()) <= 2,
            )
        ]

    def _largest(self) -> int:
        return int(max((value for value in self.counts if value != IGNORE_CLASS), default=0))

    def _with_file(self, finding: Finding, num_classes: int | None) -> Finding:
        """Adds the name of the first file with a value outside the classes."""
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
    """The kind of one mask, see `MaskSurvey.kinds`."""
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
    left_out: Collection[int] = (),
) -> MaskSurvey:
    """Reads masks and counts their values. Errors are collected, not raised.

    Args:
        paths: the mask files.
        read: file → values, or None for a file whose values are not class indices.
        title: title of the progress bar, if all masks are read.
        whole: whether all masks are read. Otherwise `SAMPLED` of them, spread evenly, and more only
            until one shows an object.
        left_out: values that are not counted.
    """
    survey = MaskSurvey()

    def count(path: Path) -> dict[float, int] | Exception:
        try:
            values = read(path)
        except UNREADABLE as error:
            return error
        counts = {} if values is None else count_labels(values)
        return {value: count for value, count in counts.items() if value not in left_out}

    for chunk in [paths] if whole else _spread(paths):
        outcomes: Iterable[Future] = in_order(count, chunk, available_threads())
        outcomes = tracked(outcomes, title, total=len(chunk)) if whole else outcomes
        for path, outcome in zip(chunk, outcomes, strict=True):
            counts = outcome.result()
            if isinstance(counts, Exception):
                survey.errors.append(counts)
            elif counts:
                survey.add(counts, path)
        if survey.shows_objects:
            break
    return survey


def _spread(paths: Sequence[Path]) -> list[list[Path]]:
    """Chunks of `SAMPLED` files; the first chunk is spread evenly over all files."""
    every = max(1, len(paths) // SAMPLED)
    first = list(paths[::every])[:SAMPLED]
    chosen = set(first)
    rest = [path for path in paths if path not in chosen]
    return [first, *(rest[i : i + SAMPLED] for i in range(0, len(rest), SAMPLED))]
