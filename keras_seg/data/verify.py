"""Looks at every file of a data set, and says what is wrong, what it is like and what to train."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.fingerprint import SampleFacts, Suggestion, sample_facts, suggest
from keras_seg.data.folder.dataset import FolderDataset
from keras_seg.data.folder.pairs import SizesDiffer, ValuesOutside
from keras_seg.data.folder.scan import NoPairs, scan_folder
from keras_seg.data.images import orientation, stored_pixels
from keras_seg.data.mask_values.findings import label_findings
from keras_seg.data.open import open_dataset
from keras_seg.data.progress import tracked
from keras_seg.data.readable import UNREADABLE
from keras_seg.names import IGNORE_CLASS

SPLITS = ("train", "val")
MEASURED = 200
"""Objects are measured in so many training images, spread evenly."""
OF_CLASSES = ("one class", "all ignored", "mostly ignored")
"""Findings on what masks mean, and not on what their files hold."""
NARROW, CLIPPED = 2, 0.95
"""Levels of 255, and the share of pixels outside of it, that mean a wrong "range"."""
RANGES = 20
"""So many images of a split are looked at for values outside their range."""
NO_DATA = 0.001
"""Share of the pixels from which on a value far below the range is worth a word."""
MOSTLY_UNKNOWN = 0.5


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong or doubtful.

    kind: "layout", "pairs", "unreadable", "sizes", "values", "duplicates"; and of warnings
        "duplicates", "orientation", "palette", "unknown", "absent class", "values", "no data".
    """

    kind: str
    split: str
    message: str


@dataclass
class DatasetReport:
    """What `verify_dataset` found.

    errors keep a training from starting or its numbers from being true; warnings are worth a look.
    facts: of the readable samples of each split.
    suggestion: None if no training sample is readable.
    multi_label: whether several classes may hold at a pixel.
    """

    source: str
    classes: ClassTable | None = None
    samples: dict[str, int] = field(default_factory=dict)
    facts: dict[str, list[SampleFacts]] = field(default_factory=dict)
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    suggestion: Suggestion | None = None
    multi_label: bool = False

    def histogram(self, split: str) -> np.ndarray:
        """(readable samples, classes) pixels."""
        rows = [fact.pixels for fact in self.facts.get(split, ())]
        return np.stack(rows) if rows else np.zeros((0, len(self.classes or ())), np.int64)


def verify_dataset(
    source: str, *, classes: ClassTable | Sequence[str] | None = None, channels: int = 3
) -> DatasetReport:
    """Reads every sample of both splits; nothing that is wrong in the data raises.

    Args: as `open_dataset`.
    """
    report, classes = DatasetReport(str(source)), ClassTable.of(classes)
    for split in SPLITS:
        try:
            dataset = _open(source, split, classes, channels)
        except UNREADABLE as error:
            if str(error) not in {problem.message for problem in report.errors}:
                kind = "pairs" if isinstance(error, NoPairs) else "layout"
                report.errors.append(Problem(kind, split, str(error)))
            continue
        report.errors += _pairing_errors(dataset, split)
        report.classes = report.classes or dataset.classes
        report.multi_label = dataset.multi_label
        report.samples[split] = len(dataset)
        report.facts[split] = []
        report.errors += _range_errors(dataset, split)
        before = len(report.errors)
        for outcome in _read_all(dataset, split):
            if isinstance(outcome, SampleFacts):
                report.facts[split].append(outcome)
            else:
                report.errors.append(outcome)
        report.warnings += _orientation_warnings(dataset, split)
        report.warnings += _no_data_warnings(dataset, split)
        errors, doubts = _mask_problems(dataset, split)
        report.errors[before:before] = errors  # what all masks have in common comes first
        report.warnings += doubts
    _compare_splits(report)
    _look_at_classes(report)
    if report.facts.get("train"):
        report.suggestion = suggest(report.facts["train"])
    return report


def _open(source, split: str, classes, channels: int) -> SegmentationDataset:
    """As `open_dataset`, but a folder with files that have no partner is opened all the same."""
    if Path(source).is_dir():
        return FolderDataset(source, split, classes=classes, channels=channels, strict=False)
    return open_dataset(source, split, classes=classes, channels=channels)


def _pairing_errors(dataset: SegmentationDataset, split: str) -> list[Problem]:
    if not isinstance(dataset, FolderDataset):
        return []  # official layouts are refused as a whole if a file is missing
    problems = scan_folder(dataset.root, split).problems()
    return [Problem("pairs", split, problem) for problem in problems]


def _read_all(dataset: SegmentationDataset, split: str) -> Iterator[SampleFacts | Problem]:
    measured_every = max(1, len(dataset) // MEASURED)

    def look(index: int) -> SampleFacts | Problem:
        try:
            sample = dataset[index]
        except SizesDiffer as error:
            return Problem("sizes", split, str(error))
        except ValuesOutside as error:
            return Problem("values", split, str(error))
        except UNREADABLE as error:
            return Problem("unreadable", split, str(error))
        digest = hashlib.blake2b(repr(sample.image.shape).encode())
        digest.update(np.ascontiguousarray(sample.image).tobytes())
        measure = split == "train" and index % measured_every == 0
        return sample_facts(sample, len(dataset.classes), digest.digest(), measure=measure)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(look, range(len(dataset)))
        yield from tracked(found, f"Reading {split}", total=len(dataset))


def _orientation_warnings(dataset: SegmentationDataset, split: str) -> list[Problem]:
    turned = [
        pair.image.name for pair in getattr(dataset, "pairs", ()) if orientation(pair.image) != 1
    ]
    if not turned:
        return []
    message = (
        f"{len(turned)} images are turned by their EXIF orientation, for example {turned[:3]}. "
        "They are read upright; look whether their masks were drawn on the upright picture."
    )
    return [Problem("orientation", split, message)]


def _mask_problems(dataset: SegmentationDataset, split: str) -> tuple[list, list]:
    """Errors and warnings on the values of all masks of a folder, as its files hold them."""
    if not isinstance(dataset, FolderDataset):
        return [], []
    masks = dataset.masks
    survey = None if masks.survey is None else masks.survey_of(whole=True)
    found = [finding for finding in masks.findings(survey) if finding.kind not in OF_CLASSES]
    errors = [Problem("values", split, each.message) for each in found if each.error]
    doubts = [Problem("values", split, each.message) for each in found if not each.error]
    conflict = masks.palette_conflict()
    if conflict:
        doubts.append(Problem("palette", split, conflict))
    return errors, doubts


def _no_data_warnings(dataset: SegmentationDataset, split: str) -> list[Problem]:
    """One value far below the range in pixels that have a class, as -9999 for "no data"."""
    value_range = getattr(dataset, "value_range", None)
    if value_range is None or dataset.multi_label:
        return []
    low, high = value_range
    for index in range(0, len(dataset), max(1, len(dataset) // RANGES)):
        path = dataset.pairs[index].image
        try:
            pixels, known = stored_pixels(path), dataset[index].mask != IGNORE_CLASS
        except UNREADABLE:
            continue
        lowest = pixels.min(initial=low)
        if lowest >= low - (high - low) or pixels.shape[:2] != known.shape:
            continue
        empty = (pixels == lowest).reshape(*known.shape, -1).any(axis=-1) & known
        if empty.mean() >= NO_DATA:
            message = (
                f"{path} holds {lowest} in {empty.mean():.1%} of the pixels, far below the range "
                f"[{low:g}, {high:g}]: they become black and count in the loss. If the value means "
                "that there are no data, write 255 (unknown) to the mask there."
            )
            return [Problem("no data", split, message)]
    return []


def _range_errors(dataset: SegmentationDataset, split: str) -> list[Problem]:
    """A "range" that leaves nothing of the images: they become black, white or one value."""
    value_range = getattr(dataset, "value_range", None)
    if value_range is None:
        return []
    flat, lows, highs = [], [], []
    for index in range(0, len(dataset), max(1, len(dataset) // RANGES)):
        path = dataset.pairs[index].image
        try:
            stored, seen = stored_pixels(path), dataset[index].image
        except UNREADABLE:
            continue
        if stored.dtype == np.uint8 or stored.min() == stored.max():
            continue  # 8 bits are read as they are
        outside = ((stored < value_range[0]) | (stored > value_range[1])).mean()
        flat.append(int(seen.max()) - int(seen.min()) <= NARROW or outside >= CLIPPED)
        lows.append(stored.min())
        highs.append(stored.max())
    if not flat or not all(flat):
        return []
    message = (
        f'The "range" [{value_range[0]:g}, {value_range[1]:g}] of classes.json leaves nothing of '
        f"the images, which hold {min(lows):g} to {max(highs):g}: they become black and white, or "
        "next to one value. Write the values that are black and white in the whole data set, for "
        f'example "range": [{min(lows):g}, {max(highs):g}].'
    )
    return [Problem("range", split, message)]


def _compare_splits(report: DatasetReport) -> None:
    """The same picture in both splits makes the validation too good; twice in one is a waste."""
    places = defaultdict(list)
    for split, facts in report.facts.items():
        for fact in facts:
            places[fact.digest].append((split, fact.name))
    for found in places.values():
        if len(found) < 2:
            continue
        names = ", ".join(f"{split}: {name}" for split, name in found)
        across = len({split for split, _ in found}) > 1
        problem = Problem("duplicates", found[0][0], f"The same image several times: {names}")
        (report.errors if across else report.warnings).append(problem)


def _look_at_classes(report: DatasetReport) -> None:
    for split, facts in report.facts.items():
        _look_at_labels(report, split)
        unknown = [
            fact.name
            for fact in facts
            if fact.ignored >= MOSTLY_UNKNOWN * fact.size[0] * fact.size[1]
        ]
        if unknown:
            message = (
                f"At least half of the mask is unknown (255) in {len(unknown)} samples, for "
                f"example {unknown[:3]}."
            )
            report.warnings.append(Problem("unknown", split, message))
        if facts:
            absent = np.flatnonzero(report.histogram(split).sum(axis=0) == 0)
            if absent.size:
                names = [report.classes.names[number] for number in absent[:8]]
                occur = "class occurs" if absent.size == 1 else "classes occur"
                message = f"{absent.size} {occur} in no sample, for example {names}."
                report.warnings.append(Problem("absent class", split, message))


def _look_at_labels(report: DatasetReport, split: str) -> None:
    """One class alone, or next to nothing known, in all readable masks of a split."""
    told = {(problem.kind, problem.split) for problem in report.errors}
    if report.multi_label or ("values", split) in told:
        return
    counts = dict(enumerate(report.histogram(split).sum(axis=0).tolist()))
    counts[IGNORE_CLASS] = sum(fact.ignored for fact in report.facts[split])
    for finding in label_findings(
        counts,
        num_classes=len(report.classes),
        names=report.classes.names,
        subject=f"The masks of {report.source} ({split})",
    ):
        # A validation split may be small; what trains on one class alone learns nothing.
        wrong = finding.error or (finding.kind == "one class" and split == "train")
        alone = finding.kind == "one class" and len(report.classes) == 1
        if finding.kind in OF_CLASSES and not alone:
            problem = Problem("values", split, finding.message)
            (report.errors if wrong else report.warnings).append(problem)
