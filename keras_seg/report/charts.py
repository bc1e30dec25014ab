"""Charts as SVG text for a page without other files."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure


def curves(rows: Sequence[dict]) -> str:
    """Losses and mIoU over the epochs of a run's log, as SVG."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    loss, score = figure.subplots(1, 2)
    epochs = [row["epoch"] for row in rows]
    for axis, names, title in (
        (loss, ("loss", "val_loss"), "loss"),
        (score, ("mean_iou", "val_mean_iou"), "mIoU"),
    ):
        for name, label in zip(names, ("training", "validation"), strict=True):
            values = [row.get(name) for row in rows]
            axis.plot(epochs, [np.nan if v is None else v for v in values], "o-", ms=3, label=label)
        axis.set_title(title)
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.legend()
    return _svg(figure)


def bars(values: dict[str, float | None]) -> str:
    """IoU of each class, as SVG; a class that is absent has no bar."""
    names = list(values)
    figure = Figure(figsize=(9, 0.8 + 0.32 * len(names)), layout="constrained")
    axis = figure.subplots()
    shown = [value or 0.0 for value in values.values()]
    axis.barh(range(len(names)), shown, color="#3572b0")
    for place, value in enumerate(values.values()):
        text = "absent" if value is None else f"{100 * value:.1f} %"
        axis.text((value or 0) + 0.01, place, text, va="center", fontsize=8)
    # a dollar sign would begin a formula
    axis.set_yticks(range(len(names)), [name.replace("$", r"\$") for name in names])
    axis.invert_yaxis()
    axis.set_xlim(0, 1.12)
    return _svg(figure)


def matrix(confusion: np.ndarray, names: Sequence[str]) -> str:
    """Shares of each true class by predicted class, as SVG."""
    counts = confusion.astype(float)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 2.5 + 0.42 * len(names)
    figure = Figure(figsize=(side, side), layout="constrained")
    axis = figure.subplots()
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    labels = [name.replace("$", r"\$") for name in names]
    axis.set_xticks(range(len(names)), labels, rotation=90)
    axis.set_yticks(range(len(names)), labels)
    axis.set_xlabel("predicted")
    axis.set_ylabel("truth")
    if len(names) <= 30:
        for row, column in np.ndindex(*shares.shape):
            color = "white" if shares[row, column] > 0.5 else "black"
            text = f"{100 * shares[row, column]:.0f}"
            axis.text(column, row, text, ha="center", va="center", fontsize=7, color=color)
    return _svg(figure)


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    # text as text: drawn as paths, it would also stand in comments
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :]
