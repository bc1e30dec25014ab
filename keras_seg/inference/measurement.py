"""The counts of one network in an evaluation: image by image, in any number of threads."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from keras_seg.data.dataset import Sample
from keras_seg.inference.object_scores import ObjectScores
from keras_seg.inference.prediction import Runner
from keras_seg.inference.results import Evaluation
from keras_seg.inference.scores import Threshold, mask_of, threshold_in_use
from keras_seg.inference.sizing import resolve_sizing, scores_at_image_size
from keras_seg.masks.confusion import (
    confusion_matrix,
    empty_confusion,
    iou_per_class,
    mean_iou,
    pixel_accuracy,
)


@dataclass(frozen=True, eq=False)
class ImageMeasurement:
    """What one network says about one image, and how that compares.

    Attributes:
        mask: the predicted mask.
        pixels: number of its elements.
        head: kind of the outputs, as in the card.
        outputs: the network's output for each window.
        seconds: how long each output took, if that was measured.
        confusion: counts of the labelled pixels.
        equal: number of pixels with the class that the first network predicts.
        objects: what `ObjectScores.measured` returned; None without objects.
        difference: largest difference of the scores from those of the first network; None for
            networks whose scores are of another kind.
    """

    mask: np.ndarray
    pixels: int
    head: str
    outputs: list[np.ndarray]
    seconds: list[float]
    confusion: np.ndarray
    equal: int
    objects: dict[int, np.ndarray] | None
    difference: float | None = None

    def without_pixels(self) -> ImageMeasurement:
        """The numbers alone, which need little memory."""
        return replace(self, mask=self.mask[:0], outputs=[])


class NetworkMeasurement:
    """One network of a comparison, and its counts so far.

    `measured` may be called in several threads, with one runner each. `count` and `add` may not.

    Attributes:
        mask: the mask of the image that was added last.
    """

    def __init__(self, runner: Runner, sizing: str, threshold: Threshold | None) -> None:
        self.runner = runner
        self.sizing = resolve_sizing(sizing, runner.card)
        self.threshold = threshold_in_use(runner, threshold)
        self.confusion = empty_confusion(runner.num_classes, multi_label=runner.card.multi_label)
        self.seconds: list[float] = []
        self._warm_shapes: set[tuple[int, ...]] = set()
        self.images = self.equal = self.pixels = 0
        self.difference: float | None = None
        self.objects: ObjectScores | None = None

    def add(self, sample: Sample) -> None:
        """Predicts an image, measures the time of each run, and counts the result."""
        image = self.measured(sample, self.runner, timed=True)
        self.count(image)
        self.mask = image.mask

    def measured(
        self,
        sample: Sample,
        runner: Runner,
        first: ImageMeasurement | None = None,
        *,
        timed: bool = False,
    ) -> ImageMeasurement:
        """Predicts an image, and compares the result with its mask.

        Args:
            sample: the image and its mask.
            runner: the network, or a copy.
            first: the first network's measurement of the image; None for the first network itself.
            timed: whether to measure the time of each run.
        """
        outputs: list[np.ndarray] = []
        seconds: list[float] = []

        def run_each(images: np.ndarray) -> np.ndarray:
            for image in images:
                if timed:
                    self._warm_up(image)
                start = time.perf_counter()
                outputs.append(runner.run(image))
                if timed:
                    seconds.append(time.perf_counter() - start)
            return np.stack(outputs[-len(images) :])

        images = runner.pixels_of(sample.image)[None]
        scores, head = scores_at_image_size(runner, images, self.sizing, run=run_each)
        mask = mask_of(runner, scores[0], head, self.threshold)
        image = ImageMeasurement(
            mask,
            mask.size,
            runner.card.head,
            outputs,
            seconds,
            confusion_matrix(sample.mask, mask, runner.num_classes, name=sample.name),
            mask.size if first is None else int((mask == first.mask).sum()),
            None if self.objects is None else self.objects.measured(sample, mask),
        )
        return image if first is None else replace(image, difference=_difference(image, first))

    def _warm_up(self, image: np.ndarray) -> None:
        """Runs the first image of a shape, for which a network builds a graph."""
        if image.shape not in self._warm_shapes:
            self.runner.run(image)
            self._warm_shapes.add(image.shape)

    def count(self, image: ImageMeasurement) -> None:
        """Adds the measurement of an image to the counts."""
        self.confusion += image.confusion
        self.seconds += image.seconds
        self.images += 1
        self.equal += image.equal
        self.pixels += image.pixels
        if image.difference is not None:
            self.difference = max(self.difference or 0.0, image.difference)
        if self.objects is not None and image.objects is not None:
            self.objects.add(image.objects)

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


def _difference(own: ImageMeasurement, first: ImageMeasurement) -> float | None:
    """The largest difference of scores of the same kind and shape; None for others."""
    heads = {own.head, first.head}
    shapes = [[output.shape for output in each.outputs] for each in (own, first)]
    if len(heads) > 1 or heads == {"argmax"} or shapes[0] != shapes[1]:
        return None
    pairs = zip(own.outputs, first.outputs, strict=True)
    return max(float(np.abs(one - other).max()) for one, other in pairs)


def _has_threshold(runner: Runner) -> bool:
    return runner.card.multi_label or runner.num_classes == 2


def _stated(threshold: Threshold) -> float | tuple[float, ...]:
    """A threshold as plain numbers."""
    several = isinstance(threshold, Sequence | np.ndarray)
    return tuple(map(float, threshold)) if several else float(threshold)
