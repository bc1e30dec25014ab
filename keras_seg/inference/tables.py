"""Evaluations as tables for the terminal, one column a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from keras_seg.inference.evaluation import Evaluation


def comparison_table(
    evaluations: Mapping[str, Evaluation],
    agreement: Mapping[str, float] | None = None,
    largest_difference: Mapping[str, float | None] | None = None,
) -> Table:
    """One column an evaluation; with the further arguments, how far each is from the first."""
    sides = list(evaluations.values())
    table = Table("")
    for name in evaluations:
        table.add_column(Text(name), justify="right")
    table.add_row("mIoU", *(percent(side.miou) for side in sides))
    for name in sides[0].per_class_iou:
        table.add_row(Text(f"  IoU {name}"), *(percent(side.per_class_iou[name]) for side in sides))
    table.add_row("pixel accuracy", *(percent(side.pixel_accuracy) for side in sides))
    if agreement:
        first = next(iter(evaluations))
        table.add_row(
            Text(f"same class as {first}"),
            *(percent(agreement.get(name), "") for name in evaluations),
        )
        table.add_row(
            Text(f"largest score difference from {first}"),
            *(_difference((largest_difference or {}).get(name)) for name in evaluations),
        )
    table.add_row("latency, median", *(f"{side.latency_ms_median:.2f} ms" for side in sides))
    table.add_row("latency, 90 %", *(f"{side.latency_ms_p90:.2f} ms" for side in sides))
    table.add_row("threads", *(str(side.threads) for side in sides))
    table.add_row("size", *(megabytes(side.size_bytes) for side in sides))
    table.add_row("images", *(str(side.images) for side in sides))
    return table


def percent(value: float | None, absent: str = "absent") -> str:
    return absent if value is None else f"{100 * value:.2f} %"


def megabytes(size_bytes: int | None) -> str:
    return "in memory" if size_bytes is None else f"{size_bytes / 1e6:.3f} MB"


def _difference(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"
