"""A page of sample overlays: images, their masks in colours, and the shares of the classes."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np
from PIL import Image

from keras_seg.atomic_files import draft_of, write_text
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import Sample
from keras_seg.data.mask_colors import as_rgb, palette_of
from keras_seg.data.verify.choice import chosen_samples
from keras_seg.data.verify.report import DatasetReport
from keras_seg.names import IGNORE_CLASS
from keras_seg.report.page import data_url, page
from keras_seg.report.sheet import DrawnSample, draw_sheet

SUFFIXES = (".html", ".png")
SIDE = 360
"""Longer side of a picture, in pixels."""
NAMED = 4
"""Classes that the caption of a sample names."""
OPACITY = 0.55
UNKNOWN = "unknown (255)"
STYLE = """
.sample{margin:0 0 1.2rem} .pair{display:grid;grid-template-columns:1fr 1fr;gap:.3rem}
.samples{display:grid;gap:0 1.2rem;grid-template-columns:
repeat(auto-fill,minmax(min(100%,19rem),1fr))}
.pair img{image-rendering:auto} .sample figcaption{overflow-wrap:anywhere;color:#444}
.legend td+td,.legend th+th{text-align:right} .legend td+td{white-space:nowrap}
.legend td:first-child{overflow-wrap:break-word}
.swatch{display:inline-block;width:1rem;height:1rem;margin-right:.5rem;vertical-align:-.15rem;
box-shadow:0 0 0 1px #888} .problems{padding-left:1.2rem;overflow-wrap:anywhere}
.reading{overflow-wrap:anywhere}
@media(max-width:40rem){.legend td,.legend th{padding:.25rem .25rem;font-size:.8rem;
line-height:1.2}}
"""


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
        write_text(path, page(f"Samples of {report.source}", _parts(report, drawn), STYLE))
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

    The first class is not coloured if its colour is black. Borders of classes have their full
    colour, unknown pixels are white.
    """
    mask = sample.mask if sample.mask.ndim == 2 else _flat(sample.mask)
    height, width = mask.shape
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = as_rgb(sample.image).astype(np.uint8)
    smooth = Image.Resampling.BILINEAR if scale < 1 else Image.Resampling.NEAREST
    image = np.asarray(Image.fromarray(pixels).resize(size, smooth))
    labels = Image.fromarray(mask.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    labels = np.asarray(labels)
    palette = palette_of(classes)
    colors = palette[labels].astype(np.float32)
    plain = (labels == 0) & (not palette[0].any())
    strength = np.where(plain, 0, np.where(_borders(labels), 1, OPACITY))[..., None]
    return image, np.round(image * (1 - strength) + colors * strength).astype(np.uint8)


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


def _borders(labels: np.ndarray) -> np.ndarray:
    """The pixels that differ from the pixel to their left, right, top or bottom."""
    padded = np.pad(labels, 1, mode="edge")
    inner = padded[1:-1, 1:-1]
    sides = padded[1:-1, :-2], padded[1:-1, 2:], padded[:-2, 1:-1], padded[2:, 1:-1]
    return np.any([inner != side for side in sides], axis=0)


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


def _parts(report: DatasetReport, drawn: dict[str, list[DrawnSample]]) -> list[str]:
    parts = [
        f'<p class="reading">{_text(split)}: {report.samples[split]} images, '
        f"{_text(report.readings.get(split) or 'data set ' + report.source)}</p>"
        for split in drawn
    ]
    problems = [("error", p) for p in report.errors] + [("warning", p) for p in report.warnings]
    if problems:
        lines = "".join(f"<li>{kind}: {_text(p.message)}</li>" for kind, p in problems[:12])
        parts.append(f'<h2>Problems</h2><ul class="problems">{lines}</ul>')
    parts.append(f"<h2>Classes</h2>{_legend_table(report, list(drawn))}")
    for split, samples in drawn.items():
        figures = "".join(_figure(sample) for sample in samples)
        parts.append(f'<h2>Samples of {_text(split)}</h2><div class="samples">{figures}</div>')
    return parts


def _legend_table(report: DatasetReport, splits: list[str]) -> str:
    heads = "".join(f"<th>{_text(s)}<br>pixels</th><th>{_text(s)}<br>images</th>" for s in splits)
    rows = []
    shares = {split: class_shares(report, split) for split in splits}
    images = {split: (report.histogram(split) > 0).sum(axis=0) for split in splits}
    assert report.classes is not None
    table = zip(report.classes.names, report.classes.colors, strict=True)
    for number, (name, color) in enumerate(table):
        cells = "".join(
            f"<td>{_percent(shares[s][number])}</td><td>{images[s][number]}</td>" for s in splits
        )
        rows.append(f"<tr><td>{_swatch(color)}{_text(name)}</td>{cells}</tr>")
    unknown = "".join(
        f"<td></td><td>{sum(fact.ignored > 0 for fact in report.facts[s])}</td>" for s in splits
    )
    rows.append(f"<tr><td>{_swatch((255, 255, 255))}{UNKNOWN}</td>{unknown}</tr>")
    return (
        f'<table class="legend"><tr><th>class</th>{heads}</tr>{"".join(rows)}</table>'
        "<p>Shares of the known pixels, and the number of images that show the class.</p>"
    )


def _swatch(color: tuple[int, int, int]) -> str:
    return f'<span class="swatch" style="background:rgb{color}"></span>'


def _figure(sample: DrawnSample) -> str:
    name = _text(sample.caption)
    return (
        f'<figure class="sample"><div class="pair"><img alt="image" '
        f'src="{data_url(sample.image)}"><img alt="image with its mask" '
        f'src="{data_url(sample.overlay)}"></div><figcaption>{name}</figcaption></figure>'
    )


def _text(value: object) -> str:
    return html.escape(str(value).encode(errors="backslashreplace").decode())
