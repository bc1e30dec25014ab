"""Metrics on masks: from one confusion matrix that sums over batches and replicas, and on outlines.

They take logits, probabilities or class ids, count no ignored pixel and leave absent classes out.
Several of them at once are best had as `SegmentationMetrics`, which counts the matrix once.
"""

from keras_seg.metrics.boundary import BoundaryF1, boundary_f1
from keras_seg.metrics.confusion import ConfusionMetric
from keras_seg.metrics.scores import (
    ClassIoU,
    FrequencyWeightedIoU,
    MeanClassAccuracy,
    MeanDice,
    MeanIoU,
    PixelAccuracy,
    SegmentationMetrics,
)

__all__ = [
    "BoundaryF1",
    "ClassIoU",
    "ConfusionMetric",
    "FrequencyWeightedIoU",
    "MeanClassAccuracy",
    "MeanDice",
    "MeanIoU",
    "PixelAccuracy",
    "SegmentationMetrics",
    "boundary_f1",
]

ELSEWHERE = {
    "MeanIoU": ("iouscore", "iou", "miou", "jaccardindex", "onehotmeaniou", "binaryiou", "jaccard"),
    "MeanDice": ("fscore", "f1score", "dice", "dicescore", "dicecoef", "f1"),
    "PixelAccuracy": ("accuracy", "globalaccuracy", "binaryaccuracy"),
    "MeanClassAccuracy": ("recall", "sensitivity", "macc"),
}
"""Name here → names of other packages, in small letters without underscores."""


def __getattr__(name: str):
    plain = name.lower().replace("_", "")
    here = next((ours for ours, theirs in ELSEWHERE.items() if plain in theirs), None)
    hint = "" if here is None else f"; the like of it here is {here}"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
