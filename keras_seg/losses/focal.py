"""Focal loss."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from keras_seg.losses.base import (
    Pixels,
    SegmentationLoss,
    check_class_weights,
    weights_of_classes,
)
from keras_seg.losses.cross_entropy import cross_entropy
from keras_seg.names import IGNORE_CLASS


@keras.saving.register_keras_serializable("keras_seg")
class Focal(SegmentationLoss):
    """-(1 - p[y])^gamma log p[y], averaged over the pixels that count.

    With one output channel this is the sigmoid focal loss of the paper, whose alpha is
    class_weights=(1 - alpha, alpha); with more it is the softmax form. Keras has both for one-hot
    labels only, without ignored pixels. Differs from the paper: mean over pixels, where the paper
    divides by the number of objects. Source: Lin et al., arXiv:1708.02002.

    Args:
        gamma: how much less easy pixels count; 0 is the cross-entropy.
        class_weights: one factor a class (two for one output channel).
    """

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        class_weights: Sequence[float] | None = None,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        name: str = "focal",
    ):
        super().__init__(
            from_logits=from_logits, ignore_class=ignore_class, reduction=reduction, name=name
        )
        if gamma < 0:
            raise ValueError(f"gamma must not be below 0. Received: {gamma}")
        self.gamma, self.class_weights = gamma, check_class_weights(class_weights)

    def loss_of(self, pixels: Pixels):
        if pixels.truth is None:
            values = cross_entropy(pixels)
            values = self._modulated(values)
        else:
            log_p = ops.log_softmax(pixels.logits)
            values = ops.sum(pixels.truth * self._modulated(-log_p), -1)
        weight = pixels.weight
        if self.class_weights is not None:
            weight = weight * weights_of_classes(self.class_weights, pixels)
        return self.mean(values, weight, pixels.counted)

    def _modulated(self, minus_log_p):
        if not self.gamma:
            return minus_log_p
        # 1 - p without cancellation; above 0, since the power's slope at 0 is infinite for gamma<1
        wrong = ops.maximum(-ops.expm1(-minus_log_p), 1e-12)
        return wrong**self.gamma * minus_log_p

    def get_config(self):
        return super().get_config() | {
            "gamma": self.gamma,
            "class_weights": self.class_weights,
        }
