"""Metrics on masks: scores from a confusion matrix over batches and replicas, and boundary F1.

They take logits, probabilities or class indices, ignore pixels of `ignore_class` and leave absent
classes out. For several scores use `SegmentationMetrics`, which counts the matrix only once.
"""

from keras_seg.metrics.boundary import BoundaryF1, boundary_f1
from keras_seg.metrics.confusion import ConfusionMetric
from keras_seg.metrics.instances import instance_average_precision
from keras_seg.metrics.scores import (
    ClassIoU,
    FrequencyWeightedIoU,
    MeanClassAccuracy,
    MeanDice,
    MeanIoU,
    PixelAccuracy,
    SegmentationMetrics,
)
from keras_seg.names_elsewhere import attribute_error

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
    "instance_average_precision",
]

ELSEWHERE = {
    "MeanIoU": ("iouscore", "iou", "miou", "jaccardindex", "onehotmeaniou", "binaryiou", "jaccard"),
    "MeanDice": ("fscore", "f1score", "dice", "dicescore", "dicecoef", "f1"),
    "PixelAccuracy": ("accuracy", "globalaccuracy", "binaryaccuracy"),
    "MeanClassAccuracy": ("recall", "sensitivity", "macc"),
}
"""Name here → names in other packages, in lower case without underscores."""


def __getattr__(name: str) -> object:
    plain = name.lower().replace("_", "")
    here = next((ours for ours, theirs in ELSEWHERE.items() if plain in theirs), None)
    hint = "" if here is None else f"The similar metric here is {here}"
    raise attribute_error(__name__, name, hint)
