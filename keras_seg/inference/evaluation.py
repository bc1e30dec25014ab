"""Accuracy and speed of a network, measured the same way for every format of file."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.progress import track

from keras_seg.data.as_dataset import Data, as_dataset
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.engines import check_engine, open_engine
from keras_seg.inference.comparable import check_comparable, check_has_objects
from keras_seg.inference.evaluation_job import measured_on
from keras_seg.inference.instance_map import InstanceOptions
from keras_seg.inference.loading import as_runner
from keras_seg.inference.network_copy import check_can_be_copied
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
    engine: str = "local",
    address: str | None = None,
    threads: int | None = None,
) -> Evaluation:
    """Measures a network on images with masks.

    Args:
        runner: what `load` returns, a Keras model, or the path of a model file.
        dataset: a data set, its name ("builtin:cells", a folder), (images, masks) as arrays, or a
            `tf.data.Dataset` or PyDataset of (images, masks).
        sizing, limit, progress, threshold, instances: as for `compare`.
        engine: "local", or "ray" for the machines of a Ray cluster, which all have to see the
            files of the data set. Scores are those of one machine; latencies are those of the
            workers.
        address: address of the cluster, such as "auto".
        threads: CPU threads of each worker of a cluster; 1 by default.

    Raises: ValueError as `compare`; for an engine also for a model in memory.

    Example:
        >>> model = keras_seg.models.unet((None, None, 3), 2, widths=(4, 8))
        >>> images, masks = np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 16, 16), np.uint8)
        >>> keras_seg.inference.evaluate(model, (images, masks)).images
        2
    """
    check_engine(engine, address)
    runner = as_runner(runner)
    if engine != "local":
        check_can_be_copied(runner)
        check_sizing(sizing)
        opened = _dataset_for({runner.format: runner}, dataset, limit, threshold, instances)
        make = partial(_measurement, sizing, threshold, instances, opened.classes)
        indices = evenly_spread(len(opened), limit)
        with open_engine(engine, address, threads=threads) as workers:
            measured = measured_on(
                workers, runner, opened, indices, make, threads=threads, progress=progress
            )
        return measured.evaluation(opened.classes.names)
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
    dataset = _dataset_for(loaded, dataset, limit, threshold, instances)
    measured = {
        name: _measurement(sizing, threshold, instances, dataset.classes, runner)
        for name, runner in loaded.items()
    }
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


def _dataset_for(
    runners: Mapping[str, Runner],
    data: Data,
    limit: int | None,
    threshold: Threshold | None,
    instances: InstanceOptions | None,
) -> SegmentationDataset:
    """Opens the data set and checks that these networks can be measured on it."""
    first = next(iter(runners.values()))
    dataset = as_dataset(
        data,
        what="evaluation",
        channels=first.input_shape[2],
        classes=first.card.classes,
        split="val",
        value_range=first.card.value_range,
        nodata=first.card.nodata,
        multi_label=first.card.multi_label,
    )
    check_comparable(runners, dataset, limit)
    for runner in runners.values():
        check_threshold(runner, threshold)
    if instances is not None:
        check_has_objects(dataset)
    return dataset


def _measurement(
    sizing: str,
    threshold: Threshold | None,
    instances: InstanceOptions | None,
    classes: ClassTable,
    runner: Runner,
) -> NetworkMeasurement:
    """An empty measurement."""
    measurement = NetworkMeasurement(runner, sizing, threshold)
    if instances is not None:
        measurement.objects = ObjectScores(classes, instances)
    return measurement


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

    def counts(self) -> dict[str, Any]:
        """What was counted, without the network."""
        names = ("confusion", "seconds", "images", "objects")
        return {name: getattr(self, name) for name in names}

    def add_counts(self, counts: dict[str, Any]) -> None:
        """Adds what another measurement of the network counted on other images."""
        self.confusion += counts["confusion"]
        self.seconds += counts["seconds"]
        self.images += counts["images"]
        if self.objects is not None:
            self.objects.extend(counts["objects"])

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
