"""The report on a data set as tables for a terminal, and as JSON."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from keras_seg.data.verify.report import DatasetReport, Problem
from keras_seg.data.verify.suggestion import Suggestion

NAMED = 5
"""Number of problems of one kind that a terminal shows. The JSON record has all."""


def to_dict(report: DatasetReport) -> dict:
    """The whole report, ready for JSON."""
    record = {
        "source": report.source,
        "ok": not report.errors,
        "errors": [asdict(problem) for problem in report.errors],
        "warnings": [asdict(problem) for problem in report.warnings],
        "classes": report.classes.to_dict() if report.classes else None,
        "readings": report.readings,
        "splits": {split: _split_record(report, split) for split in report.facts},
        "suggestion": None,
    }
    if report.suggestion:
        record["suggestion"] = asdict(report.suggestion) | {"crop": list(report.suggestion.crop)}
    return record


def _split_record(report: DatasetReport, split: str) -> dict:
    facts, histogram = report.facts[split], report.histogram(split)
    record = {
        "samples": report.samples[split],
        "readable": len(facts),
        "pixels": histogram.sum(axis=0).tolist(),
        "images_with_class": (histogram > 0).sum(axis=0).tolist(),
        "ignored_pixels": sum(fact.ignored for fact in facts),
    }
    if facts:
        sizes = np.array([fact.size for fact in facts])
        record |= {
            "smallest_size": sizes.min(axis=0).tolist(),
            "median_size": np.median(sizes, axis=0).tolist(),
            "largest_size": sizes.max(axis=0).tolist(),
            "grey_images": sum(fact.grey for fact in facts),
        }
    return record


def to_text(report: DatasetReport) -> Group:
    """Tables of splits and classes, problems and suggestion, for a rich console."""
    readings: dict[str, list[str]] = {}
    for split, reading in report.readings.items():
        readings.setdefault(reading, []).append(split)
    parts: list = [Text(f"{', '.join(s)}: {reading}") for reading, s in readings.items() if reading]
    parts += [_split_table(report), _class_table(report)] if report.facts else []
    parts += _problem_lines("error", "red", report.errors)
    parts += _problem_lines("warning", "yellow", report.warnings)
    if report.suggestion:
        parts.append(_suggestion_lines(report.suggestion))
    if not report.errors:
        parts.append(Text("No errors.", style="green"))
    return Group(*parts)


def _split_table(report: DatasetReport) -> Table:
    table = Table(title=Text(report.source))
    for column in ("split", "samples", "readable", "smallest", "median", "largest", "unknown %"):
        table.add_column(column, justify="left" if column == "split" else "right")
    for split in report.facts:
        record = _split_record(report, split)
        sizes = [
            "x".join(f"{side:.0f}" for side in record[f"{which}_size"])
            if record["readable"]
            else ""
            for which in ("smallest", "median", "largest")
        ]
        counted = sum(height * width for height, width in (f.size for f in report.facts[split]))
        unknown = f"{100 * record['ignored_pixels'] / max(counted, 1):.1f}"
        table.add_row(split, str(record["samples"]), str(record["readable"]), *sizes, unknown)
    table.caption = "sizes are height x width in pixels"
    return table


def _class_table(report: DatasetReport) -> Table:
    table = Table(title="Classes")
    table.add_column("class")
    for split in report.facts:
        table.add_column(f"{split} px %", justify="right")
        table.add_column(f"{split} img %", justify="right")
    table.add_column("weight", justify="right")
    table.caption = (
        'px: share of known pixels; img: share of images; weight: class_weights="median" of a loss'
    )
    shares = []
    for split in report.facts:
        histogram = report.histogram(split)
        known = histogram.sum()
        if report.multi_label:  # a pixel counts for several classes
            known = sum(fact.size[0] * fact.size[1] - fact.ignored for fact in report.facts[split])
        shares.append(histogram.sum(axis=0) / max(known, 1))
        shares.append((histogram > 0).sum(axis=0) / max(len(histogram), 1))
    weights = report.suggestion.class_weights if report.suggestion else None
    for number, name in enumerate(report.classes.names):
        numbers = [f"{100 * share[number]:.2f}" for share in shares]
        table.add_row(Text(name), *numbers, "" if weights is None else f"{weights[number]:.3f}")
    return table


def _problem_lines(severity: str, style: str, problems: list[Problem]) -> list[Text]:
    lines, written = [], Counter()
    totals = Counter((problem.kind, problem.split) for problem in problems)
    for problem in problems:
        key = (problem.kind, problem.split)
        written[key] += 1
        if written[key] <= NAMED:
            lines.append(Text(f"{severity} ({problem.split}, {problem.kind}): ", style=style))
            lines[-1].append(problem.message, style="default")
        if written[key] == NAMED and totals[key] > NAMED:
            lines.append(Text(f"... and {totals[key] - NAMED} more of this kind", style=style))
    return lines


def _suggestion_lines(suggestion: Suggestion) -> Text:
    height, width = suggestion.crop
    options = [f"--crop {height} {width}", f"--batch_size {suggestion.batch_size}"]
    if suggestion.channels is not None:
        options.append(f"--channels {suggestion.channels}")
    reason = "for the median image"
    if suggestion.object_diameter is not None:
        reason += f" and large objects of {suggestion.object_diameter:.0f} pixels across"
    return Text(f"To start with, {reason}:\n  {' '.join(options)}")
