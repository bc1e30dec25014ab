"""Metrics from one confusion matrix that sums over batches and replicas."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_seg.names import IGNORE_CLASS


@keras.saving.register_keras_serializable("keras_seg")
class MeanIoU(keras.metrics.Metric):
    """Mean over classes of intersection / union, from an int64 confusion matrix.

    Takes logits or probabilities (B, H, W, num_classes) or, with one channel, binary logits; or
    class ids (B, H, W). Pixels of `ignore_class` do not count; classes that occur neither in the
    truth nor in the prediction are left out of the mean. Differs from `keras.metrics.MeanIoU`:
    takes raw scores, gives each class, and works for binary networks.

    Args:
        num_classes: number of mask values; 2 for a binary network.
        from_logits: whether a single channel holds logits (threshold 0) or probabilities (0.5).

    Raises: ValueError if predictions have another number of channels.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        ignore_class: int | None = IGNORE_CLASS,
        from_logits: bool = True,
        name: str = "mean_iou",
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
        """Adds a batch; a pixel whose `sample_weight` is 0 does not count."""
        truth = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        predicted = ops.reshape(self._class_ids(y_pred, len(y_true.shape)), (-1,))
        counted = (truth >= 0) & (truth < self.num_classes)
        if self.ignore_class is not None:
            counted = counted & (truth != self.ignore_class)
        if sample_weight is not None:
            weight = ops.cast(sample_weight, "float32")
            weight = ops.reshape(
                weight, weight.shape + (1,) * (len(y_true.shape) - len(weight.shape))
            )
            counted = counted & (ops.reshape(weight * ops.ones_like(y_true, "float32"), (-1,)) != 0)
        cell = ops.where(counted, truth * self.num_classes + predicted, 0)
        counts = ops.segment_sum(ops.cast(counted, "int64"), cell, num_segments=self.num_classes**2)
        self.confusion.assign_add(ops.reshape(counts, self.confusion.shape))

    def result(self):
        iou, present = self._iou()
        return ops.sum(iou) / ops.maximum(ops.sum(ops.cast(present, "float32")), 1)

    def per_class(self) -> np.ndarray:
        """IoU of each class, NaN where a class occurred neither in truth nor in prediction."""
        iou, present = map(ops.convert_to_numpy, self._iou())
        return np.where(present, iou, np.nan)

    def get_config(self):
        return {
            "name": self.name,
            "dtype": self.dtype,
            "num_classes": self.num_classes,
            "ignore_class": self.ignore_class,
            "from_logits": self.from_logits,
        }

    def _class_ids(self, y_pred, truth_rank: int):
        if len(y_pred.shape) == truth_rank:
            return ops.cast(y_pred, "int32")
        channels = y_pred.shape[-1]
        if channels == 1:
            return ops.cast(y_pred[..., 0] > (0 if self.from_logits else 0.5), "int32")
        if channels != self.num_classes:
            raise ValueError(
                f"MeanIoU of {self.num_classes} classes got predictions with {channels} channels "
                f"(shape {tuple(y_pred.shape)}). Give both the same number of classes."
            )
        return ops.cast(ops.argmax(y_pred, axis=-1), "int32")

    def _iou(self):
        confusion = ops.convert_to_tensor(self.confusion)
        diagonal = ops.diagonal(confusion)
        union = ops.sum(confusion, 0) + ops.sum(confusion, 1) - diagonal
        iou = ops.cast(diagonal, "float32") / ops.cast(ops.maximum(union, 1), "float32")
        return iou, union > 0
