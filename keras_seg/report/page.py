"""`keras-seg report RUN`: one HTML file about a run: curves, scores, images, files, recipe."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from keras_seg.atomic_files import write_text
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.inference.comparable import check_comparable
from keras_seg.inference.prediction import Runner
from keras_seg.inference.results import percent
from keras_seg.masks.confusion import iou_per_class, scores_per_class
from keras_seg.report import charts
from keras_seg.report.measurement import Measured, measure
from keras_seg.report.model_files import ModelFile, model_files
from keras_seg.report.pictures import ADDED, CONFUSED, MISSED, compared, css_color, data_url
from keras_seg.report.rendering import render
from keras_seg.report.run_facts import RunFacts, read_run

SHOWN = 3
"""Number of best images, and of worst images."""
ENVIRONMENT = ("keras-seg", "tensorflow", "keras", "numpy", "ai-edge-litert", "onnxruntime")


def write_report(
    run: Path,
    path: Path,
    runner: Runner,
    dataset: SegmentationDataset,
    *,
    limit: int | None = None,
) -> None:
    """Writes the page. It refers to no other file, and all names in it are escaped.

    Args:
        run: folder of the run.
        path: the HTML file.
        runner: the run's model.
        dataset: its validation images.
        limit: number of images to use, evenly spread; None for all.

    Raises: ValueError for a damaged log, or if the network and the data differ in the number of
        classes; OSError if the page cannot be written.
    """
    check_comparable({"model": runner}, dataset, limit)
    facts = read_run(run)
    measured = measure(runner, dataset, limit)
    files = model_files(run, measured)
    labels = dataset.multi_label
    page = render(
        "run.html",
        title=f"{facts.name}: {runner.card.network or 'model'}",
        miou=percent(measured.evaluation.miou, "unknown, no pixel labelled"),
        sizing=measured.sizing,
        images=measured.evaluation.images,
        dataset=dataset.name,
        head=_head(facts, runner, dataset),
        curves=charts.curves(facts.rows) if facts.rows else [],
        kind="label" if labels else "class",
        classes=_class_rows(measured.confusion, dataset),
        matrix=None if labels else charts.matrix(measured.confusion, dataset.classes.names),
        pictures=_pictures(runner, dataset, measured.scores),
        error_colors=_error_colors(dataset),
        files=files,
        differing=_other_sizings(measured, files),
        changed=facts.changed,
        recipe=facts.recipe_text,
        environment=_environment(),
    )
    write_text(path, page)


def _head(facts: RunFacts, runner: Runner, dataset: SegmentationDataset) -> dict[str, str]:
    """Title → what the files say; entries that nothing says are left out."""
    card, model = runner.card, getattr(runner, "model", None)
    images = [f"{number} {split}" for split, number in facts.images.items()]
    best = facts.best
    head = {
        "Date": facts.date,
        "Network": card.network or "not one of keras-seg",
        "Parameters": "" if model is None else f"{model.count_params():,}",
        "Device": facts.device,
        "Duration": facts.duration,
        "Best epoch": f"{best[1]}, with mIoU {percent(best[0])} in training" if best else "",
        "Data": str(facts.recipe.get("data") or dataset.name),
        "Images": ", ".join(images) or f"{len(dataset)} {dataset.split}",
        "Threshold": _thresholds(runner),
    }
    return {title: text for title, text in head.items() if text}


def _thresholds(runner: Runner) -> str:
    threshold = runner.card.threshold
    if threshold is None:
        return ""
    if not isinstance(threshold, tuple):
        return f"{threshold:g}"
    pairs = zip(runner.card.classes.names, threshold, strict=True)
    return ", ".join(f"{name} {number:g}" for name, number in pairs)


def _class_rows(confusion: np.ndarray, dataset: SegmentationDataset) -> list[dict]:
    """Name, colour and scores of each class or label; a score without pixels is empty."""
    scores = {"iou": iou_per_class(confusion), **scores_per_class(confusion)}
    all_pixels = max(1, int(scores["pixels"].sum()))
    rows = []
    for place, (name, color) in enumerate(
        zip(dataset.classes.names, dataset.classes.colors, strict=True)
    ):
        of_class = {key: float(scores[key][place]) for key in scores}
        shares = {
            key: "" if np.isnan(of_class[key]) else f"{100 * of_class[key]:.1f} %"
            for key in ("iou", "precision", "recall", "dice")
        }
        rows.append(
            shares
            | {
                "name": name,
                "color": css_color(color),
                "iou": shares["iou"] or "absent",
                "bar": 0 if np.isnan(of_class["iou"]) else round(100 * of_class["iou"], 1),
                "pixels": f"{int(of_class['pixels']):,}",
                "share": f"{100 * of_class['pixels'] / all_pixels:.1f} %",
                "predicted": f"{int(of_class['predicted']):,}",
            }
        )
    return rows


def _pictures(
    runner: Runner, dataset: SegmentationDataset, scores: dict[int, float]
) -> dict[str, list[dict]]:
    """Title → the best and the worst images, each with its score and its pictures."""
    order = sorted(scores, key=lambda index: scores[index])
    worst = order[:SHOWN]
    best = [index for index in order[::-1][:SHOWN] if index not in worst]
    return {
        "Best images": [_row(runner, dataset, index, scores[index]) for index in best],
        "Worst images": [_row(runner, dataset, index, scores[index]) for index in worst],
    }


def _row(runner: Runner, dataset: SegmentationDataset, index: int, score: float) -> dict:
    sample = dataset[index]
    predicted = np.asarray(runner.predict(sample.image))
    drawn = compared(sample.image, sample.mask, predicted, dataset.classes)
    return {
        "name": sample.name,
        "score": percent(score),
        "pictures": {title: data_url(pixels) for title, pixels in drawn.items()},
    }


def _error_colors(dataset: SegmentationDataset) -> dict[str, str]:
    """Meaning → colour of the wrong pixels."""
    if dataset.multi_label:
        kinds = {"label missed": MISSED, "label added": ADDED, "both": CONFUSED}
    elif dataset.classes.background is None:
        kinds = {"another class": CONFUSED}
    else:
        kinds = {"missed": MISSED, "added": ADDED}
        kinds |= {"another class": CONFUSED} if len(dataset.classes) > 2 else {}
    return {meaning: css_color(color) for meaning, color in kinds.items()}


def _other_sizings(measured: Measured, files: Sequence[ModelFile]) -> list[str]:
    """How exports showed the images to the network, where this differs from the report."""
    others = {file.miou_sizing for file in files} - {"", measured.sizing}
    return sorted(others)


def _environment() -> dict[str, str]:
    facts = {"Python": platform.python_version(), "system": platform.platform()}
    return facts | {name: _version(name) for name in ENVIRONMENT}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # tensorflow-cpu and onnxruntime-gpu hold the same modules
        return "not installed under this name"
