"""A page of sample overlays: images, their masks in colours, and the shares of the classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_seg.atomic_files import draft_of, write_text
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import Sample
from keras_seg.data.mask_colors import overlay
from keras_seg.data.verify.choice import chosen_samples
from keras_seg.data.verify.report import DatasetReport
from keras_seg.names import IGNORE_CLASS
from keras_seg.report.pictures import css_color, data_url, fitted, fitted_mask
from keras_seg.report.rendering import render
from keras_seg.report.sheet import DrawnSample, draw_sheet

SUFFIXES = (".html", ".png")
SIDE = 720
"""Longer side of a picture, in pixels. A page shows it smaller, until it is enlarged."""
NAMED = 4
"""Classes that the caption of a sample names."""
OPACITY, OUTLINE = 0.5, 2
UNKNOWN = "unknown (255)"
MOST_PROBLEMS = 12


def write_samples(report: DatasetReport, path: Path) -> int:
    """Draws samples of all splits: a few of each class, and others spread over the split.

    Args:
        report: what `verify_dataset` returns.
        path: the file, which ends in .html or .png.

    Returns: number of samples.

    Raises: ValueError for another ending, and for a data set without readable samples; OSError if
        the file cannot be written.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"Pictures end in .html or .png. Received: {path}")
    drawn = {
        split: [_drawn(report, split, fact.index) for fact in chosen_samples(facts)]
        for split, facts in report.facts.items()
        if facts
    }
    if not drawn:
        raise ValueError(f"{report.source} has no readable sample, so nothing is drawn.")
    if path.suffix.lower() == ".png":
        with draft_of(path) as draft:
            draw_sheet(report.source, _legend(report), drawn).save(draft)
            draft.replace(path)
    else:
        write_text(path, _page(report, drawn))
    return sum(map(len, drawn.values()))


def class_shares(report: DatasetReport, split: str) -> np.ndarray:
    """Share of the known pixels of a split that each class has, (classes,) in 0..1."""
    pixels = report.histogram(split).sum(axis=0)
    known = pixels.sum()
    if report.multi_label:  # a pixel counts for several classes
        known = sum(f.size[0] * f.size[1] - f.ignored for f in report.facts[split])
    return pixels / max(known, 1)


def draw_mask(sample: Sample, classes: ClassTable) -> tuple[np.ndarray, np.ndarray]:
    """The image, and the image with its mask in colours, both (H, W, 3) uint8 for a page.

    Regions have outlines in full colour. The background and unknown pixels keep the image.
    """
    mask = sample.mask if sample.mask.ndim == 2 else _flat(sample.mask)
    image = fitted(sample.image, SIDE)
    labels = fitted_mask(mask, SIDE)
    return image, overlay(image, labels, classes, opacity=OPACITY, outline=OUTLINE)


def _drawn(report: DatasetReport, split: str, index: int) -> DrawnSample:
    sample, classes = report.datasets[split][index], report.classes
    assert classes is not None
    counts = report.facts[split][_place(report, split, index)].pixels
    height, width = sample.mask.shape[:2]
    shown = [i for i in np.argsort(-counts, kind="stable") if counts[i]]
    names = [f"{classes.names[i]} {100 * counts[i] / (height * width):.1f}\u00a0%" for i in shown]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    told = ", ".join(names[:NAMED]) + more if names else "no known pixel"
    return DrawnSample(*draw_mask(sample, classes), f"{sample.name}, {width}x{height}: {told}")


def _place(report: DatasetReport, split: str, index: int) -> int:
    return next(i for i, fact in enumerate(report.facts[split]) if fact.index == index)


def _flat(labels: np.ndarray) -> np.ndarray:
    """(H, W): the last label that a pixel has, so that labels inside others are seen."""
    number = labels.shape[-1]
    last = number - 1 - np.argmax(labels[..., ::-1] == 1, axis=-1)
    unknown = (labels == IGNORE_CLASS).all(axis=-1)
    return np.where((labels == 1).any(axis=-1), last, np.where(unknown, IGNORE_CLASS, 254))


def _legend(report: DatasetReport) -> list[tuple[str, tuple[int, int, int], list[str]]]:
    """(name, colour, share in each split) of each class."""
    assert report.classes is not None
    shares = {split: class_shares(report, split) for split in report.facts if report.facts[split]}
    table = zip(report.classes.names, report.classes.colors, strict=True)
    rows = [
        (name, color, [f"{split} {_percent(share[i])}" for split, share in shares.items()])
        for i, (name, color) in enumerate(table)
    ]
    unknown = any(fact.ignored for facts in report.facts.values() for fact in facts)
    return [*rows, (UNKNOWN, (255, 255, 255), [])] if unknown else rows


def _percent(share: float) -> str:
    return f"{100 * share:.2f} %" if share >= 0.0001 or not share else "< 0.01 %"


def _page(report: DatasetReport, drawn: dict[str, list[DrawnSample]]) -> str:
    problems = [("error", p) for p in report.errors] + [("warning", p) for p in report.warnings]
    return render(
        "samples.html",
        title=f"Samples of {report.source}",
        readings={split: _reading(report, split) for split in drawn},
        problems=[(kind, problem.message) for kind, problem in problems[:MOST_PROBLEMS]],
        classes=_class_rows(report, list(drawn)),
        note=_note(report),
        samples={
            split: [_figure(sample) for sample in samples] for split, samples in drawn.items()
        },
    )


def _reading(report: DatasetReport, split: str) -> str:
    """The number of images, and how the files are read."""
    count = f"{report.samples[split]} images"
    reading = report.readings.get(split) or f"data set {report.source}"
    return reading if reading.startswith(count) else f"{count}, {reading}"


def _class_rows(report: DatasetReport, splits: list[str]) -> list[dict]:
    """Name, colour, and the share and the number of images of each split."""
    shares = {split: class_shares(report, split) for split in splits}
    images = {split: (report.histogram(split) > 0).sum(axis=0) for split in splits}
    assert report.classes is not None
    table = zip(report.classes.names, report.classes.colors, strict=True)
    rows = [
        {
            "name": name,
            "color": css_color(color),
            "cells": [
                cell for s in splits for cell in (_percent(shares[s][number]), images[s][number])
            ],
        }
        for number, (name, color) in enumerate(table)
    ]
    unknown = [sum(fact.ignored > 0 for fact in report.facts[split]) for split in splits]
    cells = [cell for number in unknown for cell in ("", number)]
    return [*rows, {"name": UNKNOWN, "color": css_color((255, 255, 255)), "cells": cells}]


def _note(report: DatasetReport) -> str:
    """What the overlays do not show."""
    assert report.classes is not None
    background = report.classes.background
    if background is None:
        return " Unknown regions have a white outline."
    name = report.classes.names[background]
    return f" Overlays leave {name} and unknown pixels as they are."


def _figure(sample: DrawnSample) -> dict[str, str]:
    return {
        "image": data_url(sample.image),
        "overlay": data_url(sample.overlay),
        "caption": sample.caption,
    }
