"""The confusion matrix that the metrics share, and what is read off it."""

from __future__ import annotations

import math

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
from keras_seg.names import IGNORE_CLASS


class ConfusionMetric(GrowingScores, keras.metrics.Metric):
    """Base of the metrics: int64 counts (num_classes, num_classes), truth by prediction.

    Truth: masks (B, H, W), (B, H, W, 1), one-hot or soft (of which the largest share is the class).
    Predictions: logits or probabilities (B, H, W, num_classes), binary scores (B, H, W, 1), or
    class ids (integers) of the shape of the mask. Pixels of `ignore_class` and of weight 0 do not
    count; other weights count as 1. Sums over batches and the replicas of `tf.distribute`.

    With `multi_label` each channel is a label of its own: truth (B, H, W, num_classes) of 0 and 1,
    with `ignore_class` where a label is unknown; predictions scores of that shape, or integers 0
    and 1. The counts are (num_classes, 2, 2), label by label.

    The result is NaN once a pixel that counts had no label (outside of the classes, a fraction,
    NaN) or no prediction (NaN scores, ids outside of the classes).

    Args:
        num_classes: number of mask values; 1 and 2 are both a binary network. With `multi_label`
            the number of labels.
        ignore_class: mask value that does not count; None for none.
        from_logits: whether thresholds are of logits or of probabilities. Nothing in a compiled
            step can tell: probabilities taken for logits are all above the threshold 0, so that
            a network that ends in a sigmoid needs from_logits=False. Scores that a threshold finds
            outside of 0..1 with from_logits=False make the result NaN.
        multi_label: whether each channel is a label of its own.
        threshold: probability above which a pixel is of class 1 of two, or has a label.

    Raises: ValueError if predictions have another number of channels or another size.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        ignore_class: int | None = IGNORE_CLASS,
        from_logits: bool = True,
        multi_label: bool = False,
        threshold: float = 0.5,
        name: str | None = None,
        dtype=None,
    ):
        super().__init__(name=name, dtype=dtype)
        take_reading(self, num_classes, ignore_class, from_logits, multi_label, threshold)
        # int64: a float32 count stops growing at 2^24 pixels, one image of 4096x4096.
        self.confusion = self.add_weight(
            shape=(self.num_classes, 2, 2) if multi_label else (self.num_classes,) * 2,
            initializer="zeros",
            dtype="int64",
            name="confusion",
        )
        self.invalid = self.add_weight(shape=(), initializer="zeros", dtype="int64", name="invalid")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch."""
        truth, predicted, counted, known = read_pair(self, y_true, y_pred, sample_weight)
        usable = counted & known
        size = 2 if self.multi_label else self.num_classes
        cell = truth * size + predicted
        if self.multi_label:
            cell = cell + 4 * ops.arange(self.num_classes, dtype="int32")
        # a cell below 0 is dropped; 32 bits suffice for a batch
        cell = ops.reshape(ops.where(usable, cell, -1), (-1,))
        counts = ops.segment_sum(
            ops.ones_like(cell), cell, num_segments=math.prod(self.confusion.shape)
        )
        self.confusion.assign_add(ops.cast(ops.reshape(counts, self.confusion.shape), "int64"))
        invalid = ops.sum(ops.cast(counted & ops.logical_not(known), "int32"))
        self.invalid.assign_add(ops.cast(invalid, "int64"))

    def unless_invalid(self, score):
        """The score, NaN if a pixel that counts had no label or no prediction."""
        return ops.where(self.invalid > 0, float("nan"), score)

    def get_config(self):
        return super().get_config() | {
            "num_classes": self.num_classes,
            "ignore_class": self.ignore_class,
            "from_logits": self.from_logits,
            "multi_label": self.multi_label,
            "threshold": self.threshold,
        }


def take_reading(metric, num_classes, ignore_class, from_logits, multi_label, threshold) -> None:
    """Sets the options that say how a metric reads labels and predictions.

    Raises: ValueError for what cannot be meant, and for options that contradict each other.
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


def read_pair(metric, y_true, y_pred, sample_weight=None):
    """(truth, predicted) int32 of one shape, and (counted, known) bool: see `Labels`.

    The shape is (B, *P) of classes, or with `multi_label` (B, *P, C) of 0 and 1.
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
        weighs = pixel_weights(sample_weight, pixels) != 0
        counted = counted & (weighs[..., None] if metric.multi_label else weighs)
    return labels.ids, predicted, counted, labels.known & has_prediction


def class_ids(metric, y_pred):
    """(int32 classes (B, *P), bool whether they are known) of scores (B, *P, C) or of integers.

    With `multi_label` both are (B, *P, C), of 0 and 1.
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


def _above_threshold(metric, scores):
    """int32 1 for scores of more than the threshold's probability, and where scores are scores."""
    threshold = metric.threshold
    if metric.from_logits:
        level = 0.0 if threshold == 0.5 else math.log(threshold / (1 - threshold))
        return ops.cast(scores > level, "int32"), ops.logical_not(ops.isnan(scores))
    possible = (scores >= -NEGATIVE_NOISE) & (scores <= 1 + NEGATIVE_NOISE)
    return ops.cast(scores > threshold, "int32"), possible


def _other_channels(metric, y_pred) -> str:
    return (
        f"{metric.name}: a metric of {metric.num_classes} classes got predictions with "
        f"{y_pred.shape[-1]} channels (shape {tuple(y_pred.shape)}). Give both the same number of "
        "classes; class ids must be integers."
    )


def _is_float(tensor) -> bool:
    return keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype))


class Counts:
    """Numbers of pixels of each class (K,), float32, from a confusion matrix of integers.

    hits: predicted right. truth, predicted: of the class in the mask, in the prediction.
    right, total: pixels of all classes that are predicted right, and all pixels; of labels, these
        of every label.

    Args:
        confusion: (K, K) truth by prediction; or (K, 2, 2) of K labels, each absent or there.
    """

    def __init__(self, confusion):
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

    def iou(self):
        """(K,) intersection over union; 0 for classes that occur nowhere."""
        return ops.divide_no_nan(self.hits, self.union)

    def dice(self):
        """(K,) 2 hits / (truth + predicted), which is F1; 0 for classes that occur nowhere."""
        return ops.divide_no_nan(2 * self.hits, self.truth + self.predicted)

    def accuracy(self):
        """(K,) share of the class' pixels that are predicted right; 0 for absent classes."""
        return ops.divide_no_nan(self.hits, self.truth)


def mean_iou(counts: Counts):
    """Over the classes that occur in the truth or in the prediction."""
    return _mean(counts.iou(), counts.union)


def mean_dice(counts: Counts):
    """Over the classes that occur in the truth or in the prediction."""
    return _mean(counts.dice(), counts.union)


def pixel_accuracy(counts: Counts):
    """Share of the pixels (of labels: of all labels of all pixels) that are predicted right."""
    return ops.divide_no_nan(counts.right, counts.total)


def mean_class_accuracy(counts: Counts):
    """Over the classes that occur in the truth."""
    return _mean(counts.accuracy(), counts.truth)


def frequency_weighted_iou(counts: Counts):
    """IoU of the classes weighted by their share of the truth."""
    total = ops.sum(counts.truth)
    return ops.divide_no_nan(ops.sum(counts.truth * counts.iou()), total)


def nan_where_absent(values, size) -> np.ndarray:
    """(K,) values as an array, NaN where `size` is 0."""
    values, size = ops.convert_to_numpy(values), ops.convert_to_numpy(size)
    return np.where(size > 0, values, np.nan)


def _mean(values, size):
    present = ops.cast(size > 0, "float32")
    return ops.divide_no_nan(ops.sum(values * present), ops.sum(present))
