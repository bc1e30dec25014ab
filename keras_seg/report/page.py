"""`keras-seg report RUN`: one HTML file with all that is known of a run."""

from __future__ import annotations

import base64
import html
import io
import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from PIL import Image

from keras_seg.atomic_files import write_text
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.mask_colors import overlay
from keras_seg.inference.evaluation import (
    check_comparable,
    confusion_of,
    evenly_spread,
    iou_of,
)
from keras_seg.inference.runner import Runner
from keras_seg.inference.tables import percent
from keras_seg.names import IGNORE_CLASS
from keras_seg.report import charts
from keras_seg.training.history import JSON_NAME, read_rows

SHOWN = 3
"""Best and worst images each."""
LONGEST = 480
"""Pixels of the longer side of a picture in the page."""
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
"""No script runs in the page, and nothing is loaded."""
ENVIRONMENT = ("keras-seg", "tensorflow", "keras", "numpy", "ai-edge-litert", "onnxruntime")


def write_report(
    run: Path,
    path: Path,
    runner: Runner,
    dataset: SegmentationDataset,
    *,
    limit: int | None = None,
) -> None:
    """Writes the page; it refers to no other file, and all names in it are escaped.

    Args:
        run: folder of the run.
        runner: of its model. dataset: its validation images.
        limit: look at this many images, evenly spread; all by default.

    Raises: ValueError for a damaged log, and if the network and the data differ in the number of
        classes; OSError if the page cannot be written.
    """
    check_comparable({"model": runner}, dataset, limit)
    if runner.card.multi_label:
        raise ValueError(
            "The report shows one class a pixel. Received: a model whose pixels may have several "
            "labels. Measure it with keras-seg evaluate, and look at masks of keras-seg predict."
        )
    log = run / JSON_NAME
    rows = read_rows(log) if log.exists() else []
    confusion, scores = _looked_at(runner, dataset, limit)
    iou, names = iou_of(confusion), dataset.classes.names
    by_class = {
        name: None if np.isnan(value) else float(value)
        for name, value in zip(names, iou, strict=True)
    }
    mean = percent(
        float(np.nanmean(iou)) if confusion.sum() else None, "unknown, no pixel labelled"
    )
    parts = [f"<p>{len(scores)} images of {_text(dataset.name)}: mIoU {mean}</p>"]
    if rows:
        parts.append(f'<h2>Learning curves</h2><div class="curves">{charts.curves(rows)}</div>')
    parts.append(f"<h2>IoU of each class</h2>{charts.bars(by_class, dataset.classes.colors)}")
    matrix = f'<div class="wide">{charts.matrix(confusion, names)}</div>'
    parts.append(f"<h2>Confusion, % of each true class</h2>{matrix}")
    order = sorted(scores, key=lambda index: scores[index])
    worst = order[:SHOWN]
    best = [index for index in order[::-1][:SHOWN] if index not in worst]
    for title, chosen in (("Best images", best), ("Worst images", worst)):
        parts.append(f"<h2>{title}</h2>")
        parts += [_pictures(runner, dataset, index, scores[index]) for index in chosen]
    parts.append(f"<h2>Files</h2>{_exports(run)}")
    recipe = run / "recipe.yaml"
    if recipe.exists():
        parts.append(f"<h2>Recipe</h2><pre>{_text(recipe.read_text())}</pre>")
    parts.append(f"<h2>Environment of this report</h2>{_environment()}")
    write_text(path, _page(f"{run.resolve().name}: {runner.card.network or 'model'}", parts))


def _looked_at(runner, dataset, limit) -> tuple[np.ndarray, dict[int, float]]:
    """Counts of all images, and the mIoU of each image that has a labelled pixel."""
    confusion, scores = np.zeros((len(dataset.classes),) * 2, np.int64), {}
    for index in evenly_spread(len(dataset), limit):
        sample = dataset[index]
        found = confusion_of(sample, runner.predict(sample.image), len(dataset.classes))
        confusion += found
        if found.sum():
            scores[index] = float(np.nanmean(iou_of(found)))
    return confusion, scores


def _pictures(runner: Runner, dataset: SegmentationDataset, index: int, score: float) -> str:
    sample = dataset[index]
    mask = runner.predict(sample.image)
    wrong = (mask != sample.mask) & (sample.mask != IGNORE_CLASS)
    grey = np.repeat(sample.image[..., :3].mean(-1, keepdims=True), 3, -1) * 0.6
    errors = np.where(wrong[..., None], [230, 40, 40], grey).astype(np.uint8)
    shown = {
        "image": np.broadcast_to(
            sample.image[..., : 3 if sample.image.shape[-1] >= 3 else 1], (*mask.shape, 3)
        ),
        "truth": overlay(sample.image, sample.mask, dataset.classes),
        "prediction": overlay(sample.image, mask, dataset.classes),
        "errors": errors,
    }
    figures = "".join(
        f'<figure><img alt="{title}" src="{_data_url(pixels)}"><figcaption>{title}</figcaption>'
        "</figure>"
        for title, pixels in shown.items()
    )
    return f'<p>{_text(sample.name)}: mIoU {100 * score:.1f} %</p><div class="row">{figures}</div>'


def _exports(run: Path) -> str:
    """The model files of a run, with what the export reports beside them say."""
    reports = {}
    for path in sorted(run.glob("*.json")):
        try:
            record = json.loads(path.read_text())
            file = path.with_name(Path(record["path"]).name)
            if record["size_bytes"] == file.stat().st_size:  # else the report of an older file
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
    """What the export report of a file says of it; any error of Python's for a damaged one."""
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
    except PackageNotFoundError:  # the same modules also come as tensorflow-cpu, onnxruntime-gpu
        return "not installed under this name"


def _data_url(pixels: np.ndarray) -> str:
    picture, file = Image.fromarray(np.ascontiguousarray(pixels)), io.BytesIO()
    picture.thumbnail((LONGEST, LONGEST))
    picture.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _page(title: str, parts: list[str]) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{_text(title)}</title><style>{STYLE}</style></head><body>"
        f"<h1>{_text(title)}</h1>{''.join(parts)}</body></html>\n"
    )


def _text(value) -> str:
    # a name of a file may hold bytes that are no UTF-8, which no page can
    return html.escape(str(value).encode(errors="backslashreplace").decode())
