"""Opens and reads both splits of a data set, and collects what is wrong with them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from keras_seg.data.annotations import recognise
from keras_seg.data.as_dataset import Data, as_dataset, has_masks
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.folder.dataset import FolderDataset
from keras_seg.data.folder.scan import NoPairs
from keras_seg.data.open_by_name import open_dataset
from keras_seg.data.reading.images import UNREADABLE
from keras_seg.data.verify.class_checks import class_warnings, label_problems
from keras_seg.data.verify.color_checks import in_one_problem
from keras_seg.data.verify.duplicates import find_duplicates
from keras_seg.data.verify.file_checks import (
    mask_problems,
    orientation_warnings,
    pairing_errors,
)
from keras_seg.data.verify.image_values import no_data_warnings, range_errors
from keras_seg.data.verify.reading import read_all
from keras_seg.data.verify.report import DatasetReport, Problem
from keras_seg.data.verify.suggestion import SampleFacts, suggest
from keras_seg.engines import check_engine, open_engine
from keras_seg.engines.job import Engine

SPLITS = ("train", "val")


def verify_dataset(
    source: Data,
    *,
    classes: ClassTable | Sequence[str] | None = None,
    channels: int = 3,
    validation: Data | None = None,
    multi_label: bool | None = None,
    engine: str = "local",
    address: str | None = None,
) -> DatasetReport:
    """Reads every sample of both splits and reports all problems. Bad data never raise.

    Args:
        source: folder, built-in data set, or kind:FOLDER, as for `open_dataset`; or training data
            as arrays (images, masks), a data set, a tf.data.Dataset, a PyDataset or a list of
            (image, mask).
        classes: class table or names, for a folder without `classes.json`.
        channels: number of channels of the images.
        validation: validation data that go with training data that are not a name.
        multi_label: whether a pixel may have several classes; None for what the data say.
        engine: "local", or "ray" to read the samples on the machines of a Ray cluster, which all
            have to see the files.
        address: address of the cluster, such as "auto".

    Returns: errors, warnings, facts of each sample, and a suggestion for a first training.

    Example:

        report = verify_dataset("builtin:cells")
        report.errors, report.suggestion.crop  # [], (128, 128)
    """
    check_engine(engine, address)
    with open_engine(engine, address) as workers:
        return _report(source, validation, ClassTable.of(classes), channels, multi_label, workers)


def _report(
    source: Data,
    validation: Data | None,
    classes: ClassTable | None,
    channels: int,
    multi_label: bool | None,
    engine: Engine,
) -> DatasetReport:
    named = isinstance(source, str | os.PathLike)
    report = DatasetReport(str(source) if named else type(source).__name__)
    given = {"train": source, "val": validation}
    for split in SPLITS:
        data = given[split]
        if data is None and not named:
            continue
        try:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                if named or data is None:
                    dataset = _open(str(source), split, classes, channels, multi_label)
                else:
                    table = classes or report.classes
                    dataset = _given(data, split, table, channels, multi_label)
        except UNREADABLE as error:
            if str(error) not in {problem.message for problem in report.errors}:
                kind = "pairs" if isinstance(error, NoPairs) else "layout"
                report.errors.append(Problem(kind, split, str(error)))
            continue
        report.warnings += _once(told, split, report.warnings)
        report.classes = report.classes or dataset.classes
        report.multi_label = dataset.multi_label
        report.samples[split], report.datasets[split] = len(dataset), dataset
        report.readings[split] = getattr(dataset, "reading", "")
        _check_split(report, dataset, split, engine)
    find_duplicates(report)
    for split in report.facts:
        label_problems(report, split)
        report.warnings += class_warnings(report, split)
    if report.facts.get("train"):
        report.suggestion = suggest(report.facts["train"])
    return report


def _open(
    source: str,
    split: str,
    classes: ClassTable | None,
    channels: int,
    multi_label: bool | None,
) -> SegmentationDataset:
    """As `open_dataset`, but opens a folder even if some of its files have no partner."""
    options = {"classes": classes, "channels": channels, "multi_label": multi_label}
    if Path(source).is_dir() and recognise(Path(source)) is None:
        return FolderDataset(source, split, strict=False, **options)
    return open_dataset(source, split, **options)


def _given(
    data: Data,
    split: str,
    classes: ClassTable | None,
    channels: int,
    multi_label: bool | None,
) -> SegmentationDataset:
    what = {"train": "training data", "val": "validation data"}[split]
    dataset = as_dataset(
        data,
        what=what,
        channels=channels,
        classes=classes,
        split=split,
        multi_label=bool(multi_label),
    )
    if not has_masks(dataset):
        raise ValueError(f"{what}: the {len(dataset)} images have no masks. Pass (images, masks).")
    return dataset


def _once(
    told: Sequence[warnings.WarningMessage], split: str, known: Sequence[Problem]
) -> list[Problem]:
    """Warnings from opening a split, without those that the other split also gave."""
    messages = {str(each.message) for each in told if issubclass(each.category, UserWarning)}
    return [
        Problem("layout", split, message)
        for message in sorted(messages - {problem.message for problem in known})
    ]


def _check_split(
    report: DatasetReport, dataset: SegmentationDataset, split: str, engine: Engine
) -> None:
    outcomes = in_one_problem(list(read_all(dataset, split, engine)), dataset, split)
    errors, doubts = mask_problems(dataset, split)
    report.facts[split] = [each for each in outcomes if isinstance(each, SampleFacts)]
    report.errors += pairing_errors(dataset, split)
    report.errors += range_errors(dataset, split)
    report.errors += errors  # what all masks have in common comes before single files
    report.errors += [each for each in outcomes if isinstance(each, Problem)]
    report.warnings += orientation_warnings(dataset, split)
    report.warnings += no_data_warnings(dataset, split)
    report.warnings += doubts
