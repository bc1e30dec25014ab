"""Accuracy and speed of a network, measured the same way for every format of file."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.progress import track

from keras_seg.data.as_dataset import Data, as_dataset, has_masks
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.inference.instance_map import InstanceOptions
from keras_seg.inference.loading import as_runner
from keras_seg.inference.object_scores import ObjectScores
from keras_seg.inference.prediction import Runner
from keras_seg.inference.results import Comparison, Evaluation
from keras_seg.inference.scores import Threshold, check_threshold, mask_of, threshold_in_use
from keras_seg.inference.sizing import check_sizing, resolve_sizing, scores_at_image_size
from keras_seg.masks.confusion import (
    confusion_matrix,
    empty_confusion,
    iou_per_class,
    mean_iou,
    pixel_accuracy,
)

if TYPE_CHECKING:
    import keras


def evaluate(
    runner: Runner | keras.Model | str | Path,
    dataset: Data,
    *,
    sizing: str = "auto",
    limit: int | None = None,
    progress: bool | None = None,
    threshold: Threshold | None = None,
    instances: InstanceOptions | None = None,
) -> Evaluation:
    """Measures a network on images with masks.

    Args:
        runner: what `load` returns, a Keras model, or the path of a model file.
        dataset: a data set, its name ("builtin:cells", a folder), (images, masks) as arrays, or a
            `tf.data.Dataset` or PyDataset of (images, masks).
        sizing, limit, progress, threshold, instances: as for `compare`.

    Raises: ValueError as `compare`.

    Example:
        >>> model = keras_seg.models.unet((None, None, 3), 2, widths=(4, 8))
        >>> images, masks = np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 16, 16), np.uint8)
        >>> keras_seg.inference.evaluate(model, (images, masks)).images
        2
    """
    runner = as_runner(runner)
    comparison = compare(
        {runner.format: runner},
        dataset,
        sizing=sizing,
        limit=limit,
        progress=progress,
        threshold=threshold,
        instances=instances,
    )
    return comparison.evaluations[runner.format]


def compare(
    runners: Mapping[str, Runner | keras.Model | str | Path],
    dataset: Data,
    *,
    sizing: str = "auto",
    limit: int | None = None,
    progress: bool | None = None,
    threshold: Threshold | None = None,
    instances: InstanceOptions | None = None,
) -> Comparison:
    """Measures several networks on every image of a data set, in one pass.

    Args:
        runners: name → runner, model or file. The others are compared with the first.
        dataset: images with masks, see `evaluate`.
        sizing: how images are fitted to the network, see `Runner.predict`.
        limit: number of images to use, evenly spread over the data set; None for all.
        progress: show a progress bar; None shows one if the terminal can.
        threshold: for two classes or for labels, see `Runner.predict`.
        instances: how masks are divided into objects, whose average precision is then measured;
            None to measure pixels alone.

    Raises: ValueError if a network and the data set differ in the number of classes, or in whether
        these are mutually exclusive; if there is no image; for an unknown sizing, limit or
        threshold.

    Example:
        >>> small, wide = (
        ...     keras_seg.models.unet((None, None, 3), 2, widths=(width, 8)) for width in (4, 6)
        ... )
        >>> images, masks = np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 16, 16), np.uint8)
        >>> result = keras_seg.inference.compare({"small": small, "wide": wide}, (images, masks))
        >>> sorted(result.evaluations), sorted(result.agreement)
        (['small', 'wide'], ['wide'])
    """
    check_sizing(sizing)
    loaded = {name: as_runner(runner) for name, runner in runners.items()}
    first_runner = next(iter(loaded.values()))
    dataset = as_dataset(
        dataset,
        what="evaluation",
        channels=first_runner.input_shape[2],
        classes=first_runner.card.classes,
        split="val",
        value_range=first_runner.card.value_range,
        nodata=first_runner.card.nodata,
        multi_label=first_runner.card.multi_label,
    )
    check_comparable(loaded, dataset, limit)
    for runner in loaded.values():
        check_threshold(runner, threshold)
    measured = {
        name: NetworkMeasurement(runner, sizing, threshold) for name, runner in loaded.items()
    }
    if instances is not None:
        _check_has_objects(dataset)
        for each in measured.values():
            each.objects = ObjectScores(dataset.classes, instances)
    first = next(iter(measured.values()))
    indices = evenly_spread(len(dataset), limit)
    console = Console(file=sys.stderr)
    hidden = not (console.is_terminal if progress is None else progress)
    for index in track(indices, "Evaluating", console=console, disable=hidden, transient=True):
        sample = dataset[index]
        for each in measured.values():
            each.add(sample, first)
    others = {name: each for name, each in measured.items() if each is not first}
    return Comparison(
        {name: each.evaluation(dataset.classes.names) for name, each in measured.items()},
        {name: each.equal / each.pixels for name, each in others.items()},
        {name: each.difference for name, each in others.items()},
    )


def evenly_spread(length: int, limit: int | None) -> list[int]:
    """Indices of at most `limit` of `length` images; every measurement uses the same ones."""
    count = min(limit or length, length)
    return np.linspace(0, length - 1, count).round().astype(int).tolist()


class NetworkMeasurement:
    """One network of a comparison: its counts so far, and its outputs for the current image."""

    def __init__(self, runner: Runner, sizing: str, threshold: Threshold | None) -> None:
        self.runner = runner
        self.sizing = resolve_sizing(sizing, runner.card)
        self.threshold = threshold_in_use(runner, threshold)
        self.confusion = empty_confusion(runner.num_classes, multi_label=runner.card.multi_label)
        self.seconds: list[float] = []
        self.warm_shapes: set[tuple[int, ...]] = set()
        self.images = self.equal = self.pixels = 0
        self.difference: float | None = None
        self.objects: ObjectScores | None = None

    def add(self, sample: Sample, first: NetworkMeasurement) -> None:
        """Predicts an image, and compares the result with its mask and with the first network."""
        self.outputs: list[np.ndarray] = []
        images = self.runner.pixels_of(sample.image)[None]
        scores, head = scores_at_image_size(self.runner, images, self.sizing, run=self._timed_runs)
        self.mask = mask_of(self.runner, scores[0], head, self.threshold)
        self.confusion += confusion_matrix(
            sample.mask, self.mask, self.runner.num_classes, name=sample.name
        )
        if self.objects is not None:
            self.objects.add(sample, self.mask)
        self.images += 1
        self.pixels += self.mask.size
        self.equal += int((self.mask == first.mask).sum())
        if self._has_scores_like(first):
            for own, other in zip(self.outputs, first.outputs, strict=True):
                self.difference = max(self.difference or 0.0, float(np.abs(own - other).max()))

    def evaluation(self, names: tuple[str, ...]) -> Evaluation:
        """The result, with the names of the classes."""
        runner, milliseconds = self.runner, 1000 * np.asarray(self.seconds)
        precisions = None if self.objects is None else self.objects.precisions()
        return Evaluation(
            format=runner.format,
            size_bytes=None if runner.path is None else runner.path.stat().st_size,
            threads=runner.threads,
            sizing=self.sizing,
            images=self.images,
            miou=mean_iou(self.confusion),
            per_class_iou={
                name: None if math.isnan(value) else float(value)
                for name, value in zip(names, iou_per_class(self.confusion), strict=True)
            },
            pixel_accuracy=pixel_accuracy(self.confusion),
            latency_ms_median=float(np.median(milliseconds)),
            latency_ms_p90=float(np.percentile(milliseconds, 90)),
            confusion=self.confusion,
            threshold=_stated(self.threshold) if _has_threshold(runner) else None,
            instance_ap=None if precisions is None else float(np.mean([*precisions.values()])),
            instance_precision=precisions,
        )

    def _has_scores_like(self, first: NetworkMeasurement) -> bool:
        """Whether both output scores of the same kind and shape."""
        heads = {self.runner.card.head, first.runner.card.head}
        shapes = [[output.shape for output in each.outputs] for each in (self, first)]
        return len(heads) == 1 and heads != {"argmax"} and shapes[0] == shapes[1]

    def _timed_runs(self, images: np.ndarray) -> np.ndarray:
        return np.stack([self._timed_run(image) for image in images])

    def _timed_run(self, image: np.ndarray) -> np.ndarray:
        if image.shape not in self.warm_shapes:  # the first run at a size builds graphs
            self.runner.run(image)
            self.warm_shapes.add(image.shape)
        start = time.perf_counter()
        output = self.runner.run(image)
        self.seconds.append(time.perf_counter() - start)
        self.outputs.append(output)
        return output


def _has_threshold(runner: Runner) -> bool:
    return runner.card.multi_label or runner.num_classes == 2


def _stated(threshold: Threshold) -> float | tuple[float, ...]:
    """A threshold as plain numbers."""
    several = isinstance(threshold, Sequence | np.ndarray)
    return tuple(map(float, threshold)) if several else float(threshold)


def _check_has_objects(dataset: SegmentationDataset) -> None:
    if dataset.multi_label:
        raise ValueError(
            f"Objects are measured in masks with one class per pixel. Received: {dataset.name!r}, "
            "whose pixels may have several labels. Leave instances out."
        )


def check_comparable(
    runners: Mapping[str, Runner], dataset: SegmentationDataset, limit: int | None = None
) -> None:
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
            raise _label_mismatch(runner, dataset)
        if runner.num_classes != len(dataset.classes):
            raise ValueError(
                f"{runner.what} predicts {runner.num_classes} classes "
                f"({', '.join(runner.card.classes.names)}). Received: data set {dataset.name!r} "
                f"with {len(dataset.classes)} ({', '.join(dataset.classes.names)}). "
                "Evaluate on data with the classes that the network was trained for."
            )


def _label_mismatch(runner: Runner, dataset: SegmentationDataset) -> ValueError:
    """The error if one has labels and the other mutually exclusive classes."""
    labels = ", ".join(dataset.classes.names)
    if dataset.multi_label:
        return ValueError(
            f"{runner.what} predicts one class per pixel. Received: data set {dataset.name!r} with "
            f"labels of which a pixel may have several ({labels}). If each channel of the model "
            "has its own sigmoid, load it with multi_label=True (--multi_label true)."
        )
    return ValueError(
        f"{runner.what} predicts labels of which a pixel may have several. Received: data set "
        f"{dataset.name!r} with one class per pixel ({labels}). Evaluate on multi-label data, or "
        "load a foreign model with multi_label=False."
    )
