"""Measures the model of a run for its page: scores of all images, of each image, and latency."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_seg.data.dataset import SegmentationDataset
from keras_seg.inference.evaluation import evenly_spread
from keras_seg.inference.measurement import NetworkMeasurement
from keras_seg.inference.prediction import Runner
from keras_seg.inference.results import Evaluation
from keras_seg.inference.sizing import is_resized, resolve_sizing
from keras_seg.masks.confusion import confusion_matrix, mean_iou


@dataclass(frozen=True, eq=False)
class Measured:
    """What a page says about the accuracy of a model.

    Attributes:
        evaluation: the scores of all images, and the latency.
        scores: index → mIoU of each image that has a labelled pixel.
        sizing: how the images met the network, in words.
    """

    evaluation: Evaluation
    scores: dict[int, float]
    sizing: str

    @property
    def confusion(self) -> np.ndarray:
        """The counts of all images."""
        return self.evaluation.confusion


def measure(runner: Runner, dataset: SegmentationDataset, limit: int | None) -> Measured:
    """Predicts the images of a data set, and measures them as `inference.evaluate` does."""
    measurement = NetworkMeasurement(runner, "auto", None)
    scores: dict[int, float] = {}
    for index in evenly_spread(len(dataset), limit):
        sample = dataset[index]
        measurement.add(sample)
        counts = confusion_matrix(
            sample.mask, measurement.mask, runner.num_classes, name=sample.name
        )
        if (score := mean_iou(counts)) is not None:
            scores[index] = score
    evaluation = measurement.evaluation(dataset.classes.names)
    return Measured(evaluation, scores, sizing_of(runner))


def sizing_of(runner: Runner) -> str:
    """How a runner shows images to its network: "whole images", "windows of 256x256", ..."""
    height, width = runner.input_shape[:2]
    sizing = resolve_sizing("auto", runner.card)
    if is_resized(runner, "auto"):
        height, width = (runner.card.image_size or (height, width))[:2]
    elif (height, width) == (None, None):
        return "whole images"
    return sizing_text(sizing, (height, width))


def sizing_text(sizing: str, size: tuple[int | None, int | None]) -> str:
    """A sizing and the size of the network in words."""
    height, width = size
    if sizing == "resize":
        return f"images resized to {height}x{width}"
    return f"windows of {height}x{width}"
