"""The best threshold on images with masks, in one pass: scores are counted, not kept."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from keras_seg.data.as_dataset import Data, as_dataset
from keras_seg.inference.comparable import check_comparable
from keras_seg.inference.evaluation import evenly_spread
from keras_seg.inference.loading import as_runner
from keras_seg.inference.prediction import Runner
from keras_seg.inference.results import percent
from keras_seg.inference.scores import decisive_scores, limits_of
from keras_seg.inference.sizing import resolve_sizing, scores_at_image_size
from keras_seg.names import IGNORE_CLASS, unknown_name

if TYPE_CHECKING:
    import keras

GRID = (0.001, 0.002, 0.005, *(n / 100 for n in range(1, 100)), 0.995, 0.998, 0.999)
"""The thresholds that are tried."""
MEASURES = ("iou", "dice")
"""What a search can maximise."""
USUAL = GRID.index(0.5)


@dataclass(frozen=True)
class ThresholdSearch:
    """The best threshold of each label, or of the second of two classes.

    Attributes:
        measure: what was maximised: "iou" of all pixels together, or the mean "dice" of the images.
        images: number of images.
        labels: names of the labels; for two classes that of the second class alone.
        thresholds: the best threshold of each label, 0.5 for a label that no mask shows.
        before: the measure of each label at the threshold 0.5, 0..1; None for a label that no mask
            shows.
        after: the same at the best thresholds.
        multi_label: whether the labels are those of a multi-label network.

    Example:
        >>> model = keras_seg.models.unet((None, None, 3), 1, widths=(4, 8))
        >>> images, masks = np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 16, 16), np.uint8)
        >>> search = keras_seg.inference.search_threshold(model, (images, masks))
        >>> search.labels, search.threshold
        (('class 1',), 0.5)
    """

    measure: str
    images: int
    labels: tuple[str, ...]
    thresholds: tuple[float, ...]
    before: tuple[float | None, ...]
    after: tuple[float | None, ...]
    multi_label: bool

    @property
    def threshold(self) -> float | tuple[float, ...]:
        """The result as `Runner.predict` and the card take it."""
        return self.thresholds if self.multi_label else self.thresholds[0]

    def to_dict(self) -> dict[str, Any]:
        """All values as plain types for JSON."""
        return vars(self) | {"threshold": self.threshold}

    def table(self) -> Table:
        """The thresholds as a table for the terminal."""
        name = {"iou": "IoU", "dice": "Dice per image"}[self.measure]
        table = Table("label" if self.multi_label else "class")
        for column in ("threshold", f"{name} at 0.5", f"{name} at threshold"):
            table.add_column(column, justify="right")
        rows = zip(self.labels, self.thresholds, self.before, self.after, strict=True)
        for label, threshold, before, after in rows:
            table.add_row(Text(label), f"{threshold:g}", percent(before), percent(after))
        table.caption = f"measured on {self.images} image{'s' if self.images != 1 else ''}"
        return table


def search_threshold(
    runner: Runner | keras.Model | str | Path,
    dataset: Data,
    *,
    measure: str = "iou",
    sizing: str = "auto",
    limit: int | None = None,
    progress: bool | None = None,
) -> ThresholdSearch:
    """Finds the threshold of each label, or of the second of two classes, in one pass.

    It tries 0.01, 0.02 ... 0.99, and 0.001, 0.002, 0.005 and their counterparts near 1. Of equally
    good thresholds it takes the one nearest to 0.5. Search on validation data, and measure the
    result on data that were used for neither training nor search.

    Args:
        runner: what `load` returns, a Keras model, or the path of a model file.
        dataset: images with masks, see `evaluate`.
        measure: "iou" maximises the IoU of all pixels together, which maximises their Dice, too.
            "dice" maximises the mean Dice of the images, so that small objects count as much as
            large ones; an image that shows and predicts nothing has a Dice of 1.
        sizing, limit, progress: as for `compare`.

    Raises: ValueError for three or more exclusive classes, for a file that outputs classes, for
        masks of other values than 0, 1 and 255, for an unknown measure, and as `compare`.

    Example:
        >>> model = keras_seg.models.unet((None, None, 3), 2, widths=(4, 8))
        >>> images, masks = np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 16, 16), np.uint8)
        >>> keras_seg.inference.search_threshold(model, (images, masks)).thresholds
        (0.5,)
    """
    if measure not in MEASURES:
        raise ValueError(unknown_name("measure", measure, MEASURES))
    runner = as_runner(runner)
    _check_searchable(runner)
    card = runner.card
    dataset = as_dataset(
        dataset,
        what="evaluation",
        channels=runner.input_shape[2],
        classes=card.classes,
        split="val",
        value_range=card.value_range,
        nodata=card.nodata,
        multi_label=card.multi_label,
    )
    check_comparable({runner.format: runner}, dataset, limit)
    sizing, indices = resolve_sizing(sizing, card), evenly_spread(len(dataset), limit)
    names = dataset.classes.names if card.multi_label else dataset.classes.names[1:]
    counts = _Counts(len(names), measure)
    console = Console(file=sys.stderr)
    hidden = not (console.is_terminal if progress is None else progress)
    for index in track(indices, "Searching", console=console, disable=hidden, transient=True):
        sample = dataset[index]
        images = runner.pixels_of(sample.image)[None]
        scores, head = scores_at_image_size(runner, images, sizing)
        values, unit = decisive_scores(scores[0], head, multi_label=card.multi_label)
        _check_mask(sample.mask, sample.name)
        counts.add(sample.mask, values, unit)
    return counts.search(names, card.multi_label)


def _check_searchable(runner: Runner) -> None:
    if runner.card.head == "argmax":
        raise ValueError(
            f"{runner.what} outputs classes, which were decided when it was exported. Search with "
            "the .keras file, and export it again with --threshold."
        )
    if not runner.card.multi_label and runner.num_classes != 2:
        raise ValueError(
            f"A threshold is for two classes, or for labels of a multi-label model. Received: "
            f"{runner.what} with {runner.num_classes} mutually exclusive classes, of which the "
            "most probable wins. Nothing needs to be searched."
        )


def _check_mask(mask: np.ndarray, name: str) -> None:
    if not np.isin(mask, (0, 1, IGNORE_CLASS)).all():
        raise ValueError(
            f"Sample {name!r}: a threshold is searched on masks of 0 and 1, or {IGNORE_CLASS} for "
            f"unknown. Received: values {mask.min()} to {mask.max()}. Check the class table of the "
            "data."
        )


class _Counts:
    """Counts of scores between neighbouring thresholds, for pixels with and without each label."""

    def __init__(self, labels: int, measure: str) -> None:
        self._measure, self._images = measure, 0
        self._present = np.zeros((labels, len(GRID) + 1), np.int64)
        self._absent = np.zeros_like(self._present)
        self._dice = np.zeros((labels, len(GRID)))

    def add(self, mask: np.ndarray, values: np.ndarray, unit: str) -> None:
        """Adds an image: (H, W) or (H, W, labels) of truth and of scores."""
        places = np.searchsorted(limits_of(GRID, unit), values, side="left")
        places = places.reshape(*places.shape[:2], -1)  # number of thresholds that are exceeded
        truth = mask.reshape(places.shape)
        present, absent = (self._histogram(places, truth == value) for value in (1, 0))
        self._present += present
        self._absent += absent
        self._images += 1
        if self._measure == "dice":
            hits, wrong, missed = _outcomes(present, absent)
            total = 2 * hits + wrong + missed
            self._dice += np.divide(2 * hits, total, out=np.ones(hits.shape), where=total > 0)

    @staticmethod
    def _histogram(places: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        size = len(GRID) + 1
        counts = [
            np.bincount(places[..., label][chosen[..., label]], minlength=size)
            for label in range(places.shape[-1])
        ]
        return np.stack(counts)

    def search(self, names: tuple[str, ...], multi_label: bool) -> ThresholdSearch:
        """The result, with the names of the labels."""
        hits, wrong, missed = _outcomes(self._present, self._absent)
        if self._measure == "iou":
            union = hits + wrong + missed
            scores = np.divide(hits, union, out=np.zeros(hits.shape), where=union > 0)
        else:
            scores = self._dice / self._images
        shown = [bool(row.any()) for row in self._present]
        best = [_best(row) if there else USUAL for row, there in zip(scores, shown, strict=True)]

        def measured(places: list[int]) -> tuple[float | None, ...]:
            rows = zip(scores, places, shown, strict=True)
            return tuple(float(row[place]) if there else None for row, place, there in rows)

        return ThresholdSearch(
            measure=self._measure,
            images=self._images,
            labels=tuple(names),
            thresholds=tuple(GRID[place] for place in best),
            before=measured([USUAL] * len(best)),
            after=measured(best),
            multi_label=multi_label,
        )


def _outcomes(present: np.ndarray, absent: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(labels, thresholds) numbers of hits, of wrongly predicted and of missed pixels."""
    hits, wrong = (np.cumsum(each[:, ::-1], axis=1)[:, -2::-1] for each in (present, absent))
    return hits, wrong, present.sum(axis=1, keepdims=True) - hits


def _best(scores: np.ndarray) -> int:
    """The place of the largest score; of equal ones the nearest to 0.5."""
    best = np.flatnonzero(scores == scores.max())
    return int(min(best, key=lambda place: abs(GRID[place] - 0.5)))
