"""How good and how fast a file is, measured the same way for every format."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.progress import track

from keras_seg.data.as_dataset import Data, as_dataset, has_masks
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.inference.loading import as_runner
from keras_seg.inference.prediction import (
    check_sizing,
    check_threshold,
    predict_by,
    resolve_sizing,
)
from keras_seg.inference.results import Comparison, Evaluation
from keras_seg.inference.runner import Runner
from keras_seg.names import IGNORE_CLASS

if TYPE_CHECKING:
    import keras


def evaluate(
    runner: Runner | keras.Model | str | Path,
    dataset: Data,
    *,
    sizing: str = "auto",
    limit: int | None = None,
    progress: bool | None = None,
    threshold: float = 0.5,
) -> Evaluation:
    """Measures a network on images with masks; see `compare`, of which this is the case of one.

    Args:
        runner: what `load` gives, a Keras model, or the path of a model file.
        dataset: a data set, its name ("builtin:cells", a folder), (images, masks) as arrays, or a
            `tf.data.Dataset` or PyDataset of (images, masks).
    """
    runner = as_runner(runner)
    together = compare(
        {runner.format: runner},
        dataset,
        sizing=sizing,
        limit=limit,
        progress=progress,
        threshold=threshold,
    )
    return together.evaluations[runner.format]


def compare(
    runners: Mapping[str, Runner | keras.Model | str | Path],
    dataset: Data,
    *,
    sizing: str = "auto",
    limit: int | None = None,
    progress: bool | None = None,
    threshold: float = 0.5,
) -> Comparison:
    """Walks a data set once and measures several networks on every image.

    Args:
        runners: name → runner, model or file; the first is the one that the others are compared
            with.
        dataset: images with masks, see `evaluate`.
        sizing: how images meet the networks, see `predict`.
        limit: use this many images, evenly spread over the data set.
        progress: show a bar; None for when the terminal can show one.
        threshold: of two classes or of labels, see `Runner.predict`.

    Raises: ValueError if a network and the data set differ in the number of classes or in whether
    these exclude each other, if there is no image, or for another sizing, limit or threshold.
    """
    check_sizing(sizing)
    runners = {name: as_runner(runner) for name, runner in runners.items()}
    first = next(iter(runners.values()))
    dataset = as_dataset(
        dataset,
        what="evaluation",
        channels=first.input_shape[2],
        classes=first.card.classes,
        split="val",
        value_range=first.card.value_range,
        multi_label=first.card.multi_label,
    )
    check_comparable(runners, dataset, limit)
    for runner in runners.values():
        check_threshold(runner, threshold)
    sides = {name: _Side(runner, sizing, threshold) for name, runner in runners.items()}
    first = next(iter(sides.values()))
    indices = evenly_spread(len(dataset), limit)
    console = Console(file=sys.stderr)
    hidden = not (console.is_terminal if progress is None else progress)
    for index in track(indices, "Evaluating", console=console, disable=hidden, transient=True):
        sample = dataset[index]
        for side in sides.values():
            side.see(sample, first)
    others = {name: side for name, side in sides.items() if side is not first}
    return Comparison(
        {name: side.evaluation(dataset.classes.names) for name, side in sides.items()},
        {name: side.equal / side.pixels for name, side in others.items()},
        {name: side.difference for name, side in others.items()},
    )


def evenly_spread(length: int, limit: int | None) -> list[int]:
    """Indices of at most `limit` of `length` images, which every measurement of them looks at."""
    count = min(limit or length, length)
    return np.linspace(0, length - 1, count).round().astype(int).tolist()


def iou_of(confusion: np.ndarray) -> np.ndarray:
    """Counts of `confusion_of` → (K,) intersection over union, NaN for absent classes or labels."""
    if confusion.ndim == 3:
        hits = confusion[:, 1, 1].astype(np.float64)
        union = confusion.sum((1, 2)) - confusion[:, 0, 0]
    else:
        hits = np.diag(confusion).astype(np.float64)
        union = confusion.sum(0) + confusion.sum(1) - hits
    return np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)


class _Side:
    """One network of a comparison: its counts so far and its outputs for the present image."""

    def __init__(self, runner: Runner, sizing: str, threshold: float):
        self.runner, self.sizing = runner, resolve_sizing(sizing, runner.card)
        self.threshold, self.confusion = threshold, no_counts(runner)
        self.seconds, self.shapes, self.images = [], set(), 0
        self.equal = self.pixels = 0
        self.difference: float | None = None

    def see(self, sample: Sample, first: _Side):
        self.outputs = []
        self.mask = predict_by(
            self._timed_run, self.runner, sample.image, self.sizing, self.threshold
        )
        self.confusion += confusion_of(sample, self.mask, self.runner.num_classes)
        self.images += 1
        self.pixels += self.mask.size
        self.equal += int((self.mask == first.mask).sum())
        if self.comparable(first):
            for own, other in zip(self.outputs, first.outputs, strict=True):
                self.difference = max(self.difference or 0.0, float(np.abs(own - other).max()))

    def comparable(self, first: _Side) -> bool:
        """Whether both put out scores of the same kind and shape."""
        heads = {self.runner.card.head, first.runner.card.head}
        shapes = [[output.shape for output in side.outputs] for side in (self, first)]
        return len(heads) == 1 and heads != {"argmax"} and shapes[0] == shapes[1]

    def evaluation(self, names: tuple[str, ...]) -> Evaluation:
        runner, labelled = self.runner, int(self.confusion.sum())
        iou = iou_of(self.confusion)
        milliseconds = 1000 * np.asarray(self.seconds)
        return Evaluation(
            format=runner.format,
            size_bytes=None if runner.path is None else runner.path.stat().st_size,
            threads=runner.threads,
            sizing=self.sizing,
            images=self.images,
            miou=float(np.nanmean(iou)) if labelled else None,
            per_class_iou={
                name: None if math.isnan(value) else float(value)
                for name, value in zip(names, iou, strict=True)
            },
            pixel_accuracy=hits_of(self.confusion) / labelled if labelled else None,
            latency_ms_median=float(np.median(milliseconds)),
            latency_ms_p90=float(np.percentile(milliseconds, 90)),
            confusion=self.confusion,
        )

    def _timed_run(self, image: np.ndarray) -> np.ndarray:
        if image.shape not in self.shapes:  # the first run at a size builds graphs and memory
            self.runner.run(image)
            self.shapes.add(image.shape)
        start = time.perf_counter()
        output = self.runner.run(image)
        self.seconds.append(time.perf_counter() - start)
        self.outputs.append(output)
        return output


def no_counts(runner: Runner) -> np.ndarray:
    """Counts of `confusion_of` before the first image."""
    number = runner.num_classes
    return np.zeros((number, 2, 2) if runner.card.multi_label else (number, number), np.int64)


def hits_of(confusion: np.ndarray) -> float:
    """Number of pixels, or of pixels of every label, with the right answer."""
    return float(np.trace(confusion, axis1=-2, axis2=-1).sum())


def confusion_of(sample: Sample, mask: np.ndarray, num_classes: int) -> np.ndarray:
    """(K, K) int64 counts of a sample's labelled pixels, truth by prediction.

    For (H, W, K) masks of labels it is (K, 2, 2): truth (absent, present) by prediction.

    Raises: ValueError for a truth or a prediction outside 0 .. num_classes - 1.
    """
    if mask.ndim == 3:
        return _counts_of_labels(sample, mask)
    labelled = sample.mask != IGNORE_CLASS
    truth, predicted = sample.mask[labelled].astype(np.int64), mask[labelled]
    if truth.size and not (truth.min() >= 0 and max(truth.max(), predicted.max()) < num_classes):
        raise ValueError(
            f"Sample {sample.name!r}: mask values must be 0 to {num_classes - 1}, or "
            f"{IGNORE_CLASS} for unknown. Received: truth {truth.min()} to {truth.max()}, "
            f"prediction up to {predicted.max()}. Check the class table of the data."
        )
    counts = np.bincount(truth * num_classes + predicted, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def _counts_of_labels(sample: Sample, mask: np.ndarray) -> np.ndarray:
    truth = np.asarray(sample.mask)
    if truth.shape != mask.shape or not np.isin(truth, (0, 1, IGNORE_CLASS)).all():
        raise ValueError(
            f"Sample {sample.name!r}: the mask of a multi-label data set is (height, width, labels)"
            f" of 0 and 1, or {IGNORE_CLASS} for unknown. Received: shape {truth.shape} for a "
            f"prediction of {mask.shape}, values {truth.min()} to {truth.max()}."
        )
    known = truth != IGNORE_CLASS
    counts = [[(known & (truth == t) & (mask == p)).sum((0, 1)) for p in (0, 1)] for t in (0, 1)]
    return np.array(counts, np.int64).transpose(2, 0, 1)


def check_comparable(
    runners: Mapping[str, Runner], dataset: SegmentationDataset, limit: int | None = None
):
    """Raises ValueError if these networks cannot be measured on that data set."""
    if len(dataset) == 0:
        raise ValueError(
            f"Evaluation needs at least one image. Received: {dataset.name!r}, split "
            f"{dataset.split!r}, without images. Choose another split."
        )
    if not has_masks(dataset):
        raise ValueError(
            f"Evaluation needs masks. Received: the {len(dataset)} images of {dataset.name!r} "
            "without any. Pass images with masks; `keras-seg predict` makes masks of images."
        )
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be None or at least 1. Received: {limit}")
    for runner in runners.values():
        if runner.card.multi_label != dataset.multi_label:
            raise _another_kind(runner, dataset)
        if runner.num_classes != len(dataset.classes):
            raise ValueError(
                f"{runner.path or 'The model'} predicts {runner.num_classes} classes "
                f"({', '.join(runner.card.classes.names)}). Received: data set {dataset.name!r} "
                f"with {len(dataset.classes)} ({', '.join(dataset.classes.names)}). "
                "Evaluate on data with the classes that the network was trained for."
            )


def _another_kind(runner: Runner, dataset: SegmentationDataset) -> ValueError:
    """The error for labels where the data have exclusive classes, or the reverse."""
    what, labels = runner.path or "The model", ", ".join(dataset.classes.names)
    if dataset.multi_label:
        return ValueError(
            f"{what} predicts one class a pixel. Received: data set {dataset.name!r} with labels "
            f"of which a pixel may have several ({labels}). If each channel of the model is a "
            "sigmoid of its own, load it with multi_label=True (--multi_label true)."
        )
    return ValueError(
        f"{what} predicts labels of which a pixel may have several. Received: data set "
        f"{dataset.name!r} with one class a pixel ({labels}). Evaluate on multi-label data, or "
        "load a foreign model with multi_label=False."
    )
