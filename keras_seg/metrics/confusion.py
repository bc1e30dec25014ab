"""The confusion matrix that the metrics share, and what is read off it."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_seg.labels import pixel_weights, read_labels
from keras_seg.names import IGNORE_CLASS


class ConfusionMetric(keras.metrics.Metric):
    """Base of the metrics: int64 counts (num_classes, num_classes), truth by prediction.

    Truth: masks (B, H, W), (B, H, W, 1) or one-hot. Predictions: logits or probabilities
    (B, H, W, num_classes), binary scores (B, H, W, 1), or class ids (integers) of the shape of the
    mask. Pixels of `ignore_class`, of a mask value or an id outside the classes and of weight 0 do
    not count; other weights count as 1. Sums over batches and the replicas of `tf.distribute`.

    Args:
        num_classes: number of mask values; 1 and 2 are both a binary network.
        ignore_class: mask value that does not count; None for none.
        from_logits: whether a single channel holds logits (threshold 0) or probabilities (0.5).

    Raises: ValueError if predictions have another number of channels or another size.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        ignore_class: int | None = IGNORE_CLASS,
        from_logits: bool = True,
        name: str | None = None,
        dtype=None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.num_classes = max(2, num_classes)
        self.ignore_class, self.from_logits = ignore_class, from_logits
        # int64: a float32 count stops growing at 2^24 pixels, one image of 4096x4096.
        self.confusion = self.add_weight(
            shape=(self.num_classes, self.num_classes),
            initializer="zeros",
            dtype="int64",
            name="confusion",
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch."""
        predicted = class_ids(y_pred, self.num_classes, self.from_logits, self.name)
        shape = (*predicted.shape, self.num_classes)
        truth, _, counted = read_labels(y_true, shape, self.ignore_class, self.name)
        for ids in (truth, predicted):
            counted = counted & (ids >= 0) & (ids < self.num_classes)
        if sample_weight is not None:
            counted = counted & (pixel_weights(sample_weight, truth) != 0)
        cell = ops.where(counted, truth * self.num_classes + predicted, -1)
        # a cell below 0 is dropped; 32 bits suffice for a batch
        counts = ops.segment_sum(
            ops.ones_like(ops.reshape(cell, (-1,))),
            ops.reshape(cell, (-1,)),
            num_segments=self.num_classes**2,
        )
        self.confusion.assign_add(ops.cast(ops.reshape(counts, self.confusion.shape), "int64"))

    def get_config(self):
        return super().get_config() | {
            "num_classes": self.num_classes,
            "ignore_class": self.ignore_class,
            "from_logits": self.from_logits,
        }


def class_ids(y_pred, num_classes: int, from_logits: bool, name: str):
    """(B, *P) int32 classes of scores (B, *P, C) or of ids, which are integers."""
    y_pred = ops.convert_to_tensor(y_pred)
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(y_pred.dtype)):
        return ops.cast(y_pred, "int32")
    channels = y_pred.shape[-1]
    if channels == 1 and num_classes == 2:
        return ops.cast(y_pred[..., 0] > (0 if from_logits else 0.5), "int32")
    if channels != num_classes:
        raise ValueError(
            f"{name}: a metric of {num_classes} classes got predictions with {channels} channels "
            f"(shape {tuple(y_pred.shape)}). Give both the same number of classes; class ids must "
            "be integers."
        )
    return ops.cast(ops.argmax(y_pred, axis=-1), "int32")


class Counts:
    """Numbers of pixels of each class (K,), float32, from a confusion matrix (K, K) of integers.

    hits: predicted right. truth, predicted: of the class in the mask, in the prediction.
    """

    def __init__(self, confusion):
        confusion = ops.convert_to_tensor(confusion)
        self.hits = ops.cast(ops.diagonal(confusion), "float32")
        self.truth = ops.cast(ops.sum(confusion, 1), "float32")
        self.predicted = ops.cast(ops.sum(confusion, 0), "float32")
        self.union = ops.cast(
            ops.sum(confusion, 0) + ops.sum(confusion, 1) - ops.diagonal(confusion), "float32"
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
    """Share of the pixels that are predicted right."""
    return ops.divide_no_nan(ops.sum(counts.hits), ops.sum(counts.truth))


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
