"""The results of an evaluation and of a comparison, and their tables for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from rich.table import Table
from rich.text import Text

from keras_seg.masks.confusion import scores_per_class

SHOWN_THRESHOLDS = ("0.50", "0.75")
"""IoU thresholds whose precision a table shows; the record has all."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The accuracy and speed of a network on images with masks.

    Pixels of mask value 255 are not counted. For a multi-label network the classes are the labels.

    Attributes:
        format: format of the file, "keras", "tflite" or "onnx".
        size_bytes: size of the file, None for a model in memory.
        threads: number of CPU threads.
        sizing: how images met the network, "resize" or "tile".
        images: number of images.
        miou: mean intersection over union of the classes, 0..1; None without a labelled pixel.
        per_class_iou: class name → 0..1. None for a class that is neither in the masks nor
            predicted; the mean leaves it out.
        pixel_accuracy: share of the labelled pixels with the right class, or of the known labels
            of all pixels that are right, 0..1.
        latency_ms_median, latency_ms_p90: of one run of the network in milliseconds, without
            reading or resizing the image. The first run at each size is not counted.
        confusion: (num_classes, num_classes) int64 pixel counts, truth by prediction; for labels
            (num_classes, 2, 2), absent and present.
        threshold: probability above which a pixel has the second of two classes, or a label; for
            labels possibly one number per label. None for three or more exclusive classes.
        instance_ap: average precision of the objects, 0..1: the mean of `instance_precision`; None
            if it was not measured, or if there is no object.
        instance_precision: IoU threshold, "0.50" to "0.95" → precision of the objects,
            TP / (TP + FP + FN), averaged over the images with objects and the classes.
    """

    format: str
    size_bytes: int | None
    threads: int
    sizing: str
    images: int
    miou: float | None
    per_class_iou: dict[str, float | None]
    pixel_accuracy: float | None
    latency_ms_median: float
    latency_ms_p90: float
    confusion: np.ndarray = field(repr=False)
    threshold: float | tuple[float, ...] | None = None
    instance_ap: float | None = None
    instance_precision: dict[str, float] | None = None

    @property
    def per_class(self) -> dict[str, dict[str, float | int | None]]:
        """Class or label → its "iou", "dice", "precision", "recall", "pixels" and "predicted".

        Scores are in 0..1, and None where they are undefined. "pixels" is the number of labelled
        pixels that have the class, "predicted" the number of those that were predicted as it.
        """
        scores = scores_per_class(self.confusion)
        return {
            name: {key: _plain(values[place]) for key, values in scores.items()}
            for place, name in enumerate(self.per_class_iou)
        }

    def to_dict(self) -> dict:
        """All values as plain types for JSON."""
        return vars(self) | {"confusion": self.confusion.tolist(), "per_class": self.per_class}

    def table(self) -> Table:
        """The numbers as a table for the terminal."""
        return comparison_table({self.format: self})

    def class_table(self) -> Table:
        """IoU, Dice, precision, recall and pixels of each class or label, for the terminal."""
        table = Table("label" if self.confusion.ndim == 3 else "class")
        thresholds = self.threshold if isinstance(self.threshold, tuple) else ()
        columns = ("IoU %", "Dice %", "precision", "recall", "pixels", "predicted")
        for column in (*columns, "threshold") if thresholds else columns:
            table.add_column(column, justify="right")
        for place, (name, scores) in enumerate(self.per_class.items()):
            shares = [scores[key] for key in ("iou", "dice", "precision", "recall")]
            cells = ["" if share is None else f"{100 * share:.2f}" for share in shares]
            cells += [f"{scores['pixels']:,}", f"{scores['predicted']:,}"]
            cells += [f"{threshold:g}" for threshold in thresholds[place : place + 1]]
            table.add_row(Text(name), *cells)
        table.caption = "precision and recall in %; pixels in the masks, and predicted pixels"
        return table


@dataclass(frozen=True)
class Comparison:
    """Several networks on the same images.

    Attributes:
        evaluations: name → its Evaluation. The others are compared with the first.
        agreement: name → share of all pixels (or of all labels of all pixels) with the same
            prediction as the first, 0..1.
        largest_difference: name → largest difference of a score from that of the first; None if
            not both output logits, or both probabilities, of the same shape.
    """

    evaluations: dict[str, Evaluation]
    agreement: dict[str, float]
    largest_difference: dict[str, float | None]

    def to_dict(self) -> dict:
        """All values as plain types for JSON."""
        evaluations = {name: each.to_dict() for name, each in self.evaluations.items()}
        return vars(self) | {"evaluations": evaluations}

    def table(self) -> Table:
        """The numbers as a table for the terminal, one column per network."""
        return comparison_table(self.evaluations, self.agreement, self.largest_difference)


def comparison_table(
    evaluations: Mapping[str, Evaluation],
    agreement: Mapping[str, float] | None = None,
    largest_difference: Mapping[str, float | None] | None = None,
) -> Table:
    """A table with one column per evaluation; optionally with the differences from the first."""
    columns = list(evaluations.values())
    table = Table("")
    for name in evaluations:
        table.add_column(Text(name), justify="right")
    table.add_row("mIoU", *(percent(each.miou) for each in columns))
    for name in columns[0].per_class_iou:
        cells = (percent(each.per_class_iou[name]) for each in columns)
        table.add_row(Text(f"  IoU {name}"), *cells)
    table.add_row("pixel accuracy", *(percent(each.pixel_accuracy) for each in columns))
    if any(each.threshold not in (None, 0.5) for each in columns):
        table.add_row("threshold", *(_short(each.threshold) for each in columns))
    if any(each.instance_precision for each in columns):
        _add_instance_rows(table, columns)
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
    table.add_row("latency, median", *(f"{each.latency_ms_median:.2f} ms" for each in columns))
    table.add_row("latency, 90 %", *(f"{each.latency_ms_p90:.2f} ms" for each in columns))
    table.add_row("threads", *(str(each.threads) for each in columns))
    table.add_row("size", *(megabytes(each.size_bytes) for each in columns))
    table.add_row("images", *(str(each.images) for each in columns))
    return table


def _add_instance_rows(table: Table, columns: Sequence[Evaluation]) -> None:
    """Adds the average precision of the objects, and the precision at two thresholds."""
    table.add_row("instance AP", *(percent(each.instance_ap) for each in columns))
    for threshold in SHOWN_THRESHOLDS:
        values = ((each.instance_precision or {}).get(threshold) for each in columns)
        table.add_row(f"  precision at IoU {threshold}", *map(percent, values))


def percent(value: float | None, absent: str = "absent") -> str:
    """A share as text: 0.5 → "50.00 %"; `absent` for None."""
    return absent if value is None else f"{100 * value:.2f} %"


def megabytes(size_bytes: int | None) -> str:
    """A file size as text: 1500000 → "1.500 MB"; "in memory" for None."""
    return "in memory" if size_bytes is None else f"{size_bytes / 1e6:.3f} MB"


def _plain(value: np.generic) -> float | int | None:
    """A NumPy number for JSON; None for NaN."""
    number = value.item()
    return None if isinstance(number, float) and math.isnan(number) else number


def threshold_in_words(threshold: float | tuple[float, ...]) -> str:
    """A threshold, or those of all labels, as text."""
    numbers = threshold if isinstance(threshold, tuple) else (threshold,)
    return ", ".join(f"{number:g}" for number in numbers)


def _short(threshold: float | tuple[float, ...] | None) -> str:
    """A threshold for a narrow column."""
    if isinstance(threshold, tuple):
        return "per label"
    return "" if threshold is None else f"{threshold:g}"


def _difference(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"
