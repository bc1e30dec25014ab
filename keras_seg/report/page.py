"""`keras-seg report RUN`: one HTML file about a run: curves, scores, images, files, recipe."""

from __future__ import annotations

import base64
import html
import io
import json
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from PIL import Image

from keras_seg.atomic_files import write_text
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.mask_colors import as_rgb, overlay
from keras_seg.inference.evaluation import check_comparable, evenly_spread
from keras_seg.inference.prediction import Runner
from keras_seg.inference.results import percent
from keras_seg.masks.confusion import (
    confusion_matrix,
    empty_confusion,
    iou_per_class,
    mean_iou,
    scores_per_class,
)
from keras_seg.names import IGNORE_CLASS
from keras_seg.report import charts
from keras_seg.training.history import JSON_NAME, read_rows

SCORES = {"dice": "Dice", "precision": "precision", "recall": "recall"}
PIXELS = {"pixels": "pixels", "predicted": "predicted pixels"}
"""Key of `scores_per_class` → its title."""
SHOWN = 3
"""Number of best images, and of worst images."""
LONGEST = 480
"""Longer side of a picture in the page, in pixels."""
STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:1rem;color:#222}
h1,h2{line-height:1.2;overflow-wrap:anywhere} .wide{overflow-x:auto} svg{max-width:100%;height:auto}
.curves{display:flex;flex-wrap:wrap;gap:.5rem}
.bars{width:100%} .bars th{font-weight:normal;min-width:6rem;max-width:10rem;
overflow-wrap:break-word} .bars td{white-space:nowrap} .bar{width:100%}
.fill{display:block;height:1rem;min-width:1px;box-shadow:0 0 0 1px #8888}
table{border-collapse:collapse} td,th{padding:.25rem .6rem;border-bottom:1px solid #ddd;
text-align:left} td:last-child{overflow-wrap:anywhere}
.matrix{table-layout:fixed;width:100%;min-width:calc(4.2rem + var(--classes)*.9rem);
max-width:calc(8rem + var(--classes)*2.8rem);font-size:clamp(.6rem,1.9vw,.85rem);line-height:1.2}
.matrix caption{caption-side:bottom;padding:.5rem 0;font-size:.85rem;text-align:left}
.matrix th{font-weight:normal} .matrix th,.matrix td{padding:0;border:0}
.matrix tr>:first-child{width:8rem;padding-right:.3rem;overflow-wrap:break-word}
.matrix th+th,.matrix td+th{vertical-align:bottom}
.matrix th span{writing-mode:vertical-rl;transform:rotate(180deg);max-height:9rem;
padding-top:.3rem}
.matrix th+td,.matrix td+td{height:1.9em;text-align:center;border:1px solid #eee}
.files td:not(:last-child){white-space:nowrap}
@media(max-width:40rem){.matrix tr>:first-child{width:4.2rem}
.files tr,.files td,.files td:not(:last-child){display:block;
white-space:normal} .files tr{padding:.4rem 0;border-bottom:1px solid #ddd}
.files td{padding:0;border:0} .files td:first-child{font-weight:600}
.files td[title]::before{content:attr(title) ": ";color:#666} .files td:empty,
.files tr:first-child{display:none}}
.row{display:grid;gap:.5rem;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));
margin:.5rem 0 1rem} figure{margin:0} img{width:100%;display:block} figcaption{font-size:.8rem}
pre{background:#f5f5f5;padding:.8rem;overflow-x:auto;font-size:.85rem}
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
"""Content security policy: the page runs no script and loads nothing."""
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
    log = run / JSON_NAME
    rows = read_rows(log) if log.exists() else []
    confusion, scores = _measure(runner, dataset, limit)
    mean = percent(mean_iou(confusion), "unknown, no pixel labelled")
    parts = [f"<p>{len(scores)} images of {_text(dataset.name)}: mIoU {mean}</p>"]
    if runner.card.threshold is not None:
        parts.append(f"<p>Threshold: {_thresholds(runner)}</p>")
    if rows:
        parts.append(f'<h2>Learning curves</h2><div class="curves">{charts.curves(rows)}</div>')
    parts += _class_parts(confusion, dataset)
    parts += _image_parts(runner, dataset, scores)
    parts.append(f"<h2>Files</h2>{_exports(run)}")
    recipe = run / "recipe.yaml"
    if recipe.exists():
        parts.append(f"<h2>Recipe</h2><pre>{_text(recipe.read_text())}</pre>")
    parts.append(f"<h2>Environment of this report</h2>{_environment()}")
    write_text(path, page(f"{run.resolve().name}: {runner.card.network or 'model'}", parts))


def _thresholds(runner: Runner) -> str:
    threshold = runner.card.threshold
    if not isinstance(threshold, tuple):
        return f"{threshold:g}"
    pairs = zip(runner.card.classes.names, threshold, strict=True)
    return ", ".join(f"{_text(name)} {number:g}" for name, number in pairs)


def _measure(
    runner: Runner, dataset: SegmentationDataset, limit: int | None
) -> tuple[np.ndarray, dict[int, float]]:
    """Counts of all images, and index → mIoU of each image that has a labelled pixel."""
    num_classes = len(dataset.classes)
    confusion = empty_confusion(num_classes, multi_label=dataset.multi_label)
    scores: dict[int, float] = {}
    for index in evenly_spread(len(dataset), limit):
        sample = dataset[index]
        mask = runner.predict(sample.image)
        counts = confusion_matrix(sample.mask, mask, num_classes, name=sample.name)
        confusion += counts
        if (score := mean_iou(counts)) is not None:
            scores[index] = score
    return confusion, scores


def _class_parts(confusion: np.ndarray, dataset: SegmentationDataset) -> list[str]:
    """Scores per class, and the confusion matrix of exclusive classes."""
    names = dataset.classes.names
    by_class = {
        name: None if np.isnan(value) else float(value)
        for name, value in zip(names, iou_per_class(confusion), strict=True)
    }
    kind = "label" if dataset.multi_label else "class"
    parts = [
        f"<h2>IoU of each {kind}</h2>{charts.bars(by_class, dataset.classes.colors)}",
        f'<h2>Scores of each {kind}</h2><div class="wide">{_scores(confusion, names)}</div>',
    ]
    if not dataset.multi_label:
        matrix = f'<div class="wide">{charts.matrix(confusion, names)}</div>'
        parts.append(f"<h2>Confusion, % of each true class</h2>{matrix}")
    return parts


def _scores(confusion: np.ndarray, names: Sequence[str]) -> str:
    """Dice, precision, recall and pixels of each class or label, as an HTML table."""
    scores = scores_per_class(confusion)
    head = "".join(f"<th>{title}</th>" for title in ("", *SCORES.values(), *PIXELS.values()))
    lines = [f"<tr>{head}</tr>"]
    for place, name in enumerate(names):
        cells = [f"{100 * scores[key][place]:.1f} %" for key in SCORES]
        cells = ["" if cell.startswith("nan") else cell for cell in cells]
        cells += [f"{scores[key][place]:,}" for key in PIXELS]
        lines.append(f"<tr><th>{_text(name)}</th>{''.join(f'<td>{c}</td>' for c in cells)}</tr>")
    return f'<table class="scores">{"".join(lines)}</table>'


def _image_parts(
    runner: Runner, dataset: SegmentationDataset, scores: dict[int, float]
) -> list[str]:
    """The best and the worst images."""
    order = sorted(scores, key=lambda index: scores[index])
    worst = order[:SHOWN]
    best = [index for index in order[::-1][:SHOWN] if index not in worst]
    parts = []
    for title, chosen in (("Best images", best), ("Worst images", worst)):
        parts.append(f"<h2>{title}</h2>")
        parts += [_pictures(runner, dataset, index, scores[index]) for index in chosen]
    return parts


def _pictures(runner: Runner, dataset: SegmentationDataset, index: int, score: float) -> str:
    sample = dataset[index]
    mask = runner.predict(sample.image)
    wrong = (mask != sample.mask) & (sample.mask != IGNORE_CLASS)
    wrong = wrong.any(-1) if wrong.ndim == 3 else wrong
    grey = np.repeat(sample.image[..., :3].mean(-1, keepdims=True), 3, -1) * 0.6
    errors = np.where(wrong[..., None], [230, 40, 40], grey).astype(np.uint8)
    shown = {
        "image": as_rgb(sample.image),
        "truth": overlay(sample.image, sample.mask, dataset.classes),
        "prediction": overlay(sample.image, mask, dataset.classes),
        "errors": errors,
    }
    figures = "".join(
        f'<figure><img alt="{title}" src="{data_url(pixels)}"><figcaption>{title}</figcaption>'
        "</figure>"
        for title, pixels in shown.items()
    )
    return f'<p>{_text(sample.name)}: mIoU {100 * score:.1f} %</p><div class="row">{figures}</div>'


def _exports(run: Path) -> str:
    """The model files of a run, with latency and accuracy from the export reports beside them."""
    reports = {}
    for path in sorted(run.glob("*.json")):
        try:
            record = json.loads(path.read_text())
            file = path.with_name(Path(record["path"]).name)
            if (
                record["size_bytes"] == file.stat().st_size
            ):  # otherwise it is the report of an older file
                reports[file.name] = _facts(record, file)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError):
            continue  # another JSON file, or a damaged one
    lines = []
    for path in sorted(run.iterdir()):
        if path.suffix not in (".keras", ".tflite", ".onnx") or not path.is_file():
            continue
        cells = {"size": f"{path.stat().st_size / 1e6:.2f} MB", "latency": "", "accuracy kept": ""}
        cells |= reports.get(path.name, {})
        facts = "".join(f'<td title="{k}">{_text(v)}</td>' for k, v in cells.items())
        lines.append(f"<tr><td>{_text(path.name)}</td>{facts}</tr>")
    head = "<tr><th>file</th><th>size</th><th>latency</th><th>accuracy kept</th></tr>"
    return f'<table class="files">{head}{"".join(lines)}</table>'


def _facts(record: dict, file: Path) -> dict[str, str]:
    """Latency and accuracy from an export report. A damaged report raises any Python error."""
    gate = record.get("gate") or {}
    sides = gate.get("comparison", {}).get("evaluations", {})
    latency = sides.get(file.suffix[1:], {}).get("latency_ms_median")
    return {
        "latency": "" if latency is None else f"{latency:.1f} ms",
        "accuracy kept": record.get("accuracy", ""),
    }


def _environment() -> str:
    facts = {"Python": platform.python_version(), "system": platform.platform()}
    facts |= {name: _version(name) for name in ENVIRONMENT}
    lines = (f"<tr><td>{_text(k)}</td><td>{_text(v)}</td></tr>" for k, v in facts.items())
    return f"<table>{''.join(lines)}</table>"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # tensorflow-cpu and onnxruntime-gpu hold the same modules
        return "not installed under this name"


def data_url(pixels: np.ndarray) -> str:
    """A picture as text for the `src` of an image: (H, W, 3) uint8, made smaller if it is large."""
    picture, file = Image.fromarray(np.ascontiguousarray(pixels)), io.BytesIO()
    picture.thumbnail((LONGEST, LONGEST))
    picture.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def page(title: str, parts: list[str], style: str = "") -> str:
    """An HTML page that loads nothing.

    Args:
        title: its title, not yet escaped.
        parts: its content as HTML.
        style: CSS besides that of all pages.
    """
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{_text(title)}</title><style>{STYLE}{style}</style></head><body>"
        f"<h1>{_text(title)}</h1>{''.join(parts)}</body></html>\n"
    )


def _text(value: object) -> str:
    # a file name may hold bytes that are not UTF-8, which a page cannot hold
    return html.escape(str(value).encode(errors="backslashreplace").decode())
