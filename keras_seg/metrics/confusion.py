"""The confusion matrix that the metrics share, and the scores that are computed from it."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seg.arguments import flag, number, whole_number
from keras_seg.masks.labels import (
    NEGATIVE_NOISE,
    Labels,
    pixel_weights,
    read_labels,
    read_multi_label,
)
from keras_seg.metrics.direction import GrowingScores
from keras_seg.metrics.pixel_counter import PixelCounter
from keras_seg.names import IGNORE_CLASS
from keras_seg.names_elsewhere import KnownOptions

OPTIONS_ELSEWHERE = {
    "classes": "num_classes",
    "n_classes": "num_classes",
    "class_idx": "class_id",
    "class_index": "class_id",
    "class_indexes": "class_id",
    "target_class_ids": "class_id",
    "ignore_index": "ignore_class",
    "ignore_label": "ignore_class",
    "mode": "multi_label",
}
"""Option of another package → the option here."""


class ConfusionMetric(GrowingScores, KnownOptions, keras.metrics.Metric):
    """Base of the metrics: pixel counts (num_classes, num_classes), truth by prediction.

    Shapes: truth (B, H, W), (B, H, W, 1), one-hot or soft (the class with the largest share
    counts). Predictions: logits or probabilities (B, H, W, num_classes), binary scores
    (B, H, W, 1), or integer class indices of the shape of the mask. Pixels of `ignore_class` and of
    weight 0 do not count; other weights count as 1. The counts are summed over batches and the
    replicas of `tf.distribute`.

    With `multi_label` each channel is an independent label: truth (B, H, W, num_classes) of 0 and
    1, with `ignore_class` where a label is unknown; predictions are scores of that shape, or
    integers 0 and 1. The counts are (num_classes, 2, 2), one matrix per label.

    The result is NaN after a counted pixel with an invalid label (outside of the classes, a
    fraction, NaN) or an invalid prediction (NaN scores, ids outside of the classes).

    Args:
        num_classes: number of mask values; 1 and 2 both mean a binary network. With `multi_label`
            the number of labels.
        ignore_class: mask value that does not count; None for none.
        from_logits: whether scores are logits or probabilities, for the threshold. A compiled step
            cannot check this: read as logits, all probabilities are above the threshold 0. A
            network that ends in a sigmoid therefore needs from_logits=False. Scores outside of 0..1
            then make the result NaN where a threshold is used.
        multi_label: whether each channel is an independent label.
        threshold: probability above which a pixel has class 1 of two, or a label.
        name: name in logs.
        dtype: type of the result; None for Keras' default.

    Raises: ValueError if predictions have another number of channels or another size.

    Example:
        >>> class RightPixels(keras_seg.metrics.ConfusionMetric):
        ...     def result(self):
        ...         return self.unless_invalid(keras.ops.trace(self.confusion))
        >>> metric = RightPixels(2)
        >>> metric.update_state(np.array([[[0, 1], [1, 255]]]), np.array([[[0, 1], [0, 0]]]))
        >>> int(metric.result())
        2
    """

    options_elsewhere = OPTIONS_ELSEWHERE

    def __init__(
        self,
        num_classes: int,
        *,
        ignore_class: int | None = IGNORE_CLASS,
        from_logits: bool = True,
        multi_label: bool = False,
        threshold: float = 0.5,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        set_reading_options(self, num_classes, ignore_class, from_logits, multi_label, threshold)
        # not float32, which stops growing at 2^24 pixels, one image of 4096x4096
        shape = (self.num_classes, 2, 2) if multi_label else (self.num_classes,) * 2
        self._pixels = PixelCounter(self, shape, "confusion")
        self._invalid = PixelCounter(self, (), "invalid")

    @property
    def confusion(self) -> Any:
        """The counts so far, truth by prediction; int64, or float32 on a backend without int64."""
        return self._pixels.counts

    @property
    def invalid(self) -> Any:
        """Number of counted pixels with an invalid label or prediction."""
        return self._invalid.counts

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch."""
        truth, predicted, counted, known = read_pair(self, y_true, y_pred, sample_weight)
        usable = counted & known
        size = 2 if self.multi_label else self.num_classes
        cell = truth * size + predicted
        if self.multi_label:
            cell = cell + 4 * ops.arange(self.num_classes, dtype="int32")
        # segment_sum drops cells below 0; 32 bits suffice for a batch
        cell = ops.reshape(ops.where(usable, cell, -1), (-1,))
        shape = self._pixels.shape
        counts = ops.segment_sum(ops.ones_like(cell), cell, num_segments=math.prod(shape))
        self._pixels.add(ops.reshape(counts, shape))
        self._invalid.add(ops.sum(ops.cast(counted & ops.logical_not(known), "int32")))

    def unless_invalid(self, score: Any) -> Any:
        """The score, or NaN after a counted pixel with an invalid label or prediction."""
        return ops.where(self.invalid > 0, float("nan"), score)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {
            "num_classes": self.num_classes,
            "ignore_class": self.ignore_class,
            "from_logits": self.from_logits,
            "multi_label": self.multi_label,
            "threshold": self.threshold,
        }


def set_reading_options(
    metric: keras.metrics.Metric,
    num_classes: int,
    ignore_class: int | None,
    from_logits: bool,
    multi_label: bool,
    threshold: float,
) -> None:
    """Checks and sets the options of how a metric reads labels and predictions.

    Raises: ValueError for values that do not fit, and for options that contradict each other.
    """
    num_classes = whole_number(num_classes, "num_classes")
    if num_classes < 1:
        raise ValueError(f"num_classes must be 1 or more. Received: {num_classes}")
    metric.from_logits = flag(from_logits, "from_logits")
    metric.multi_label = multi_label = flag(multi_label, "multi_label")
    metric.num_classes = num_classes if multi_label else max(2, num_classes)
    metric.ignore_class = (
        None if ignore_class is None else whole_number(ignore_class, "ignore_class")
    )
    metric.threshold = threshold = number(threshold, "threshold")
    if not 0 < threshold < 1:
        raise ValueError(f"threshold is a probability between 0 and 1. Received: {threshold}")
    if threshold != 0.5 and not multi_label and metric.num_classes > 2:
        raise ValueError(
            f"threshold={threshold} is for two classes, or multi_label; of "
            f"{metric.num_classes} classes the largest score wins. Leave threshold out."
        )
    if multi_label and metric.ignore_class in (0, 1):
        raise ValueError(
            f"ignore_class={metric.ignore_class} is a label with multi_label=True, where 0 and 1 "
            "say whether a label is there. Take another value, such as 255."
        )


def read_pair(
    metric: keras.metrics.Metric, y_true: Any, y_pred: Any, sample_weight: Any = None
) -> tuple[Any, Any, Any, Any]:
    """(truth, predicted) int32, and (counted, known) bool as in `Labels`, all of one shape.

    The shape is (B, *P) for classes, or with `multi_label` (B, *P, C) for 0 and 1.
    """
    y_pred = ops.convert_to_tensor(y_pred)
    one_channel = y_pred.shape[-1] == 1
    predicted, has_prediction = class_ids(metric, y_pred)
    if metric.multi_label:
        labels = read_multi_label(y_true, predicted.shape, metric.ignore_class, metric.name)
        ids = ops.cast(labels.truth > 0.5, "int32")
        labels = Labels(ids, None, labels.counted, labels.known)
    else:
        is_float = _is_float(y_pred)
        shape = (*predicted.shape, metric.num_classes)
        labels = read_labels(
            y_true,
            shape,
            metric.ignore_class,
            metric.name,
            one_channel=one_channel and is_float and metric.num_classes == 2,
        )
    counted = labels.counted
    if sample_weight is not None:
        pixels = labels.ids[..., 0] if metric.multi_label else labels.ids
        has_weight = pixel_weights(sample_weight, pixels) != 0
        counted = counted & (has_weight[..., None] if metric.multi_label else has_weight)
    return labels.ids, predicted, counted, labels.known & has_prediction


def class_ids(metric: keras.metrics.Metric, y_pred: Any) -> tuple[Any, Any]:
    """int32 classes (B, *P) of scores (B, *P, C) or of integers, and bool where they are known.

    With `multi_label` both are (B, *P, C), for 0 and 1.
    """
    channels, num_classes = y_pred.shape[-1], metric.num_classes
    if not _is_float(y_pred):
        if len(y_pred.shape) == 4 and channels == 1 and not metric.multi_label:
            y_pred = ops.squeeze(y_pred, -1)
        ids = ops.cast(y_pred, "int32")
        if metric.multi_label and len(ids.shape) and channels != num_classes:
            raise ValueError(_other_channels(metric, y_pred))
        return ids, (ids >= 0) & (ids < (2 if metric.multi_label else num_classes))
    one_channel = channels == 1 and num_classes == 2 and not metric.multi_label
    if channels != num_classes and not one_channel:
        raise ValueError(_other_channels(metric, y_pred))
    if one_channel:
        return _above_threshold(metric, y_pred[..., 0])
    if metric.multi_label:
        return _above_threshold(metric, y_pred)
    known = ops.logical_not(ops.any(ops.isnan(y_pred), axis=-1))
    if metric.threshold == 0.5:
        return ops.cast(ops.argmax(y_pred, axis=-1), "int32"), known
    scores = ops.cast(y_pred, "float32")
    if metric.from_logits:
        ids, _ = _above_threshold(metric, scores[..., 1] - scores[..., 0])
    else:
        ids, in_range = _above_threshold(metric, scores[..., 1])
        known = known & in_range
    return ids, known


def _above_threshold(metric: keras.metrics.Metric, scores: Any) -> tuple[Any, Any]:
    """int32 1 where scores are above the threshold, and bool where scores are valid."""
    threshold = metric.threshold
    if metric.from_logits:
        level = 0.0 if threshold == 0.5 else math.log(threshold / (1 - threshold))
        return ops.cast(scores > level, "int32"), ops.logical_not(ops.isnan(scores))
    possible = (scores >= -NEGATIVE_NOISE) & (scores <= 1 + NEGATIVE_NOISE)
    return ops.cast(scores > threshold, "int32"), possible


def _other_channels(metric: keras.metrics.Metric, y_pred: Any) -> str:
    return (
        f"{metric.name} has {metric.num_classes} classes, and the predictions have "
        f"{y_pred.shape[-1]} channels (shape {tuple(y_pred.shape)}). Build the metric with "
        f"num_classes={y_pred.shape[-1]}, or give class indices as integers."
    )


def _is_float(tensor: Any) -> bool:
    return keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype))


class Counts:
    """Pixel counts from a confusion matrix, float32.

    Args:
        confusion: (K, K) truth by prediction; or (K, 2, 2) for K labels, absent and present.

    Attributes:
        hits: (K,) correct pixels of each class.
        truth, predicted: (K,) pixels of each class in the mask, and in the prediction.
        union: (K,) pixels of each class in the mask or in the prediction.
        right, total: correct pixels of all classes, and all pixels; for labels, both summed over
            all labels.
    """

    def __init__(self, confusion: Any) -> None:
        confusion = ops.convert_to_tensor(confusion)
        if len(confusion.shape) == 3:
            hits = confusion[:, 1, 1]
            truth, predicted = ops.sum(confusion[:, 1], 1), ops.sum(confusion[:, :, 1], 1)
            right, total = ops.sum(hits) + ops.sum(confusion[:, 0, 0]), ops.sum(confusion)
        else:
            hits = ops.diagonal(confusion)
            truth, predicted = ops.sum(confusion, 1), ops.sum(confusion, 0)
            right, total = ops.sum(hits), ops.sum(confusion)
        self.hits, self.truth, self.predicted, self.union, self.right, self.total = (
            ops.cast(number, "float32")
            for number in (hits, truth, predicted, truth + predicted - hits, right, total)
        )

    def iou(self) -> Any:
        """(K,) intersection over union; 0 for classes that occur nowhere."""
        return ops.divide_no_nan(self.hits, self.union)

    def dice(self) -> Any:
        """(K,) Dice score (F1), 2 hits / (truth + predicted); 0 for classes that occur nowhere."""
        return ops.divide_no_nan(2 * self.hits, self.truth + self.predicted)

    def accuracy(self) -> Any:
        """(K,) share of correct pixels of each true class; 0 for absent classes."""
        return ops.divide_no_nan(self.hits, self.truth)


def mean_iou(counts: Counts) -> Any:
    """Mean IoU of the classes that occur in the truth or in the prediction."""
    return _mean(counts.iou(), counts.union)


def mean_dice(counts: Counts) -> Any:
    """Mean Dice score of the classes that occur in the truth or in the prediction."""
    return _mean(counts.dice(), counts.union)


def pixel_accuracy(counts: Counts) -> Any:
    """Share of correct pixels; for labels the share of correct labels of all pixels."""
    return ops.divide_no_nan(counts.right, counts.total)


def mean_class_accuracy(counts: Counts) -> Any:
    """Mean accuracy of the classes that occur in the truth."""
    return _mean(counts.accuracy(), counts.truth)


def frequency_weighted_iou(counts: Counts) -> Any:
    """Mean IoU of the classes, weighted by their share of the truth."""
    total = ops.sum(counts.truth)
    return ops.divide_no_nan(ops.sum(counts.truth * counts.iou()), total)


def nan_where_absent(values: Any, size: Any) -> np.ndarray:
    """(K,) values as an array, NaN where `size` is 0."""
    values, size = ops.convert_to_numpy(values), ops.convert_to_numpy(size)
    return np.where(size > 0, values, np.nan)


def _mean(values: Any, size: Any) -> Any:
    present = ops.cast(size > 0, "float32")
    return ops.divide_no_nan(ops.sum(values * present), ops.sum(present))
