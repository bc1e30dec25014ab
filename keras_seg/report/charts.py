"""Charts as SVG, and the cells of a confusion matrix, for a page that needs no other files."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_seg.data.class_colors import PALETTE, Color

INK = "#010203"
"""Colour that becomes the text colour of the page, which dark mode changes."""
INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
CHARTS = {"loss": ("loss", "val_loss"), "mIoU": ("mean_iou", "val_mean_iou")}
"""Title → keys of a log's rows, for training and validation."""
TRAINING, VALIDATION = PALETTE[1], PALETTE[0]
"""Colours of the two lines, which show on white and on black."""
CELL_COLORS: dict[str, tuple[Color, Color]] = {
    "light": ((255, 255, 255), (8, 48, 107)),
    "dark": ((22, 24, 28), (158, 203, 245)),
}
"""Theme → colours of a cell with the shares 0 and 1: --paper and --full of style.css."""
HALF_BRIGHT = 0.179
"""Luminance at which black and white text have the same contrast, of 4.58."""
NUMBERED, COUNTED = 30, 6
"""Maximum number of classes for shares in the cells of a matrix, and for pixels."""
CELL_WIDTHS = ((3, 8.0), (6, 6.0), (12, 3.6))
"""Number of classes up to which the cells have a width in rem."""
NARROW = 2.8


def curves(rows: Sequence[dict]) -> list[Markup]:
    """Losses and mIoU over the epochs of a run's log: one SVG each, narrow enough for a phone."""
    charts = []
    for title, names in CHARTS.items():
        figure, axis = _figure(title)
        _line(axis, rows, names[0], "training", TRAINING)
        _line(axis, rows, names[1], "validation", VALIDATION)
        _add_legend(axis)
        charts.append(_svg(figure))
    return charts


def compared_curves(runs: Mapping[str, Sequence[dict]]) -> list[Markup]:
    """Validation losses and mIoU of several runs: one SVG each.

    Args:
        runs: name → rows of its log.
    """
    charts = []
    for title, (_, name) in CHARTS.items():
        figure, axis = _figure(f"{title} of the validation images")
        for place, (run, rows) in enumerate(runs.items()):
            _line(axis, rows, name, run, PALETTE[place % len(PALETTE)])
        _add_legend(axis)
        charts.append(_svg(figure))
    return charts


def matrix(confusion: np.ndarray, names: Sequence[str]) -> dict:
    """A confusion matrix with row sums of 100 %, for the macro `matrix`.

    Returns: names; rows of cells (share, text, pixels, and the colour of the text on each theme);
        width of a cell in rem.
    """
    counts = confusion.astype(float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    numbered, counted = len(names) <= NUMBERED, len(names) <= COUNTED
    rows = [
        {
            "name": name,
            "cells": [
                {
                    "share": round(float(share), 3),
                    "text": f"{100 * share:.{int(counted)}f}" if numbered else "",
                    "pixels": f"{int(pixels):,}" if counted else "",
                    **{theme: text_color(round(float(share), 3), theme) for theme in CELL_COLORS},
                }
                for share, pixels in zip(of_row, row, strict=True)
            ],
        }
        for name, of_row, row in zip(names, shares, confusion, strict=True)
    ]
    width = next((width for most, width in CELL_WIDTHS if len(names) <= most), NARROW)
    return {"names": list(names), "rows": rows, "cell": width}


def text_color(share: float, theme: str) -> str:
    """Black or white, whichever has more contrast on the cell of a share (at least 4.5)."""
    empty, full = CELL_COLORS[theme]
    cell = [share * there + (1 - share) * here for here, there in zip(empty, full, strict=True)]
    return "#000" if luminance(cell) > HALF_BRIGHT else "#fff"


def luminance(color: Sequence[float]) -> float:
    """Relative luminance of an sRGB colour of 0..255, as WCAG 2 defines it: 0..1."""
    values = np.asarray(color, "float64") / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def _figure(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(4.4, 3.2), layout="constrained")
    figure.patch.set_alpha(0)
    with rc_context(dict.fromkeys(INKED, INK)):
        axis = figure.subplots()
        axis.set_title(title, color=INK)
        axis.set_xlabel("epoch")
    axis.patch.set_alpha(0)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.grid(alpha=0.3)
    return figure, axis


def _line(axis: Axes, rows: Sequence[dict], name: str, label: str, color: Color) -> None:
    values = [row.get(name) for row in rows]
    epochs = [row["epoch"] for row in rows]
    # a label that starts with "_" would be left out of the legend, and "$" would start a formula
    shown = label.replace("$", r"\$")
    shown = f"\u200b{shown}" if shown.startswith("_") else shown
    axis.plot(
        epochs,
        [np.nan if value is None else value for value in values],
        "o-",
        ms=3,
        label=shown,
        color=[value / 255 for value in color],
    )


def _add_legend(axis: Axes) -> None:
    if axis.get_lines():
        axis.legend(framealpha=0, labelcolor=INK, edgecolor="none", fontsize="small")


def _svg(figure: Figure) -> Markup:
    text = io.StringIO()
    # keep text as text: Matplotlib would draw paths and repeat the text in comments
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()[text.getvalue().index("<svg") :]
    return Markup(svg.replace(INK, "currentColor"))
