"""Checks of the classes that the masks of a split show."""

from __future__ import annotations

import numpy as np

from keras_seg.data.mask_values.findings import label_findings
from keras_seg.data.verify.report import DatasetReport, Problem
from keras_seg.names import IGNORE_CLASS

ABOUT_CLASSES = ("one class", "all ignored", "mostly ignored")
"""Findings about what masks show. All others are about the values in their files."""
MOSTLY_UNKNOWN = 0.5
"""Share of unknown pixels from which a sample is reported."""


def label_problems(report: DatasetReport, split: str) -> None:
    """Adds a split whose masks show a single class, or hardly any known pixel, to the report."""
    reported = {(problem.kind, problem.split) for problem in report.errors}
    if report.multi_label or ("values", split) in reported:
        return
    counts = dict(enumerate(report.histogram(split).sum(axis=0).tolist()))
    counts[IGNORE_CLASS] = sum(fact.ignored for fact in report.facts[split])
    for finding in label_findings(
        counts,
        num_classes=len(report.classes),
        names=report.classes.names,
        subject=f"The masks of {report.source} ({split})",
    ):
        # A small validation split may show one class; a training on one class learns nothing.
        wrong = finding.error or (finding.kind == "one class" and split == "train")
        intended = finding.kind == "one class" and len(report.classes) == 1
        if finding.kind in ABOUT_CLASSES and not intended:
            problem = Problem("values", split, finding.message)
            (report.errors if wrong else report.warnings).append(problem)


def class_warnings(report: DatasetReport, split: str) -> list[Problem]:
    """Samples that are mostly unknown, and classes that no sample shows."""
    facts = report.facts[split]
    warnings = []
    unknown = [
        fact.name for fact in facts if fact.ignored >= MOSTLY_UNKNOWN * fact.size[0] * fact.size[1]
    ]
    if unknown:
        message = (
            f"At least half of the mask is unknown (255) in {len(unknown)} samples, for "
            f"example {unknown[:3]}."
        )
        warnings.append(Problem("unknown", split, message))
    if facts:
        absent = np.flatnonzero(report.histogram(split).sum(axis=0) == 0)
        if absent.size:
            names = [report.classes.names[number] for number in absent[:8]]
            occur = "class occurs" if absent.size == 1 else "classes occur"
            message = f"{absent.size} {occur} in no sample, for example {names}."
            warnings.append(Problem("absent class", split, message))
    return warnings
