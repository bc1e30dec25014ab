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
from keras_seg.names_elsewhere import attribute_error, metric_here

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


def __getattr__(name: str) -> object:
    here = metric_here(name)
    hint = "" if here is None else f"The similar metric here is {here}"
    raise attribute_error(__name__, name, hint)
