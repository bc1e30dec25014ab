"""Charts as SVG or HTML text, for a page that needs no other files."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

FULL = (8, 48, 107)
"""RGB of a share of 1; a share of 0 is white."""
WHITE_INK = 0.65
"""Share above which white text is easier to read than black text."""
NUMBERED = 30
"""Maximum number of classes for numbers in the cells of a matrix."""


def curves(rows: Sequence[dict]) -> str:
    """Losses and mIoU over the epochs of a run's log: one SVG each, narrow enough for a phone."""
    epochs, charts = [row["epoch"] for row in rows], []
    for names, title in ((("loss", "val_loss"), "loss"), (("mean_iou", "val_mean_iou"), "mIoU")):
        figure = Figure(figsize=(4.4, 3.2), layout="constrained")
        axis = figure.subplots()
        for name, label in zip(names, ("training", "validation"), strict=True):
            values = [row.get(name) for row in rows]
            axis.plot(epochs, [np.nan if v is None else v for v in values], "o-", ms=3, label=label)
        axis.set_title(title)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.grid(alpha=0.3)
        axis.legend()
        charts.append(_svg(figure))
    return "".join(charts)


def bars(values: dict[str, float | None], colors: Sequence[tuple[int, int, int]]) -> str:
    """IoU per class as HTML bars in the colours of the masks; an absent class has no bar."""
    lines = []
    for (name, value), color in zip(values.items(), colors, strict=True):
        text = "absent" if value is None else f"{100 * value:.1f} %"
        bar = (
            f'<span class="fill" style="width:{100 * (value or 0):.1f}%;'
            f'background:rgb{tuple(map(int, color))}"></span>'
        )
        lines.append(
            f'<tr><th>{html.escape(name)}</th><td class="bar">{bar}</td><td>{text}</td></tr>'
        )
    return f'<table class="bars">{"".join(lines)}</table>'


def matrix(confusion: np.ndarray, names: Sequence[str]) -> str:
    """Confusion matrix with row sums of 100 %, as an HTML table narrow enough for a phone."""
    counts = confusion.astype(float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    numbered, names = len(names) <= NUMBERED, [html.escape(name) for name in names]
    heads = "".join(f'<th scope="col"><span>{name}</span></th>' for name in names)
    lines = [f"<tr><td></td>{heads}</tr>"]
    for name, row in zip(names, shares, strict=True):
        cells = "".join(_cell(share, numbered) for share in row.tolist())
        lines.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    caption = "<caption>A row for each true class, a column for each predicted one</caption>"
    return f'<table class="matrix" style="--classes:{len(names)}">{caption}{"".join(lines)}</table>'


def _cell(share: float, numbered: bool) -> str:
    red, green, blue = (round(255 + share * (full - 255)) for full in FULL)
    ink = ";color:#fff" if share > WHITE_INK else ""
    text = f"{100 * share:.0f}" if numbered else ""
    return f'<td style="background:rgb({red},{green},{blue}){ink}">{text}</td>'


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    # keep text as text: Matplotlib would draw paths and repeat the text in comments
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
