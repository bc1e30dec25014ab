"""Squared error of the probabilities."""

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
from keras_seg.names import IGNORE_CLASS


@keras.saving.register_keras_serializable("keras_seg")
class SquaredError(SegmentationLoss):
    """mean over the classes of (p[c] - truth[c])^2, averaged over the pixels that count.

    With one output channel this is (sigmoid(z) - truth)^2, the loss of the ResUNet paper. Keras'
    takes no classes, only targets of the shape of the probabilities, and has no ignored pixels.
    Source: Zhang et al., arXiv:1711.10684.

    Args:
        class_weights: one factor a class (two for one output channel).
    """

    def __init__(
        self,
        *,
        class_weights: Sequence[float] | None = None,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        name: str = "squared_error",
    ):
        super().__init__(
            from_logits=from_logits, ignore_class=ignore_class, reduction=reduction, name=name
        )
        self.class_weights = check_class_weights(class_weights)

    def loss_of(self, pixels: Pixels):
        difference = ops.softmax(pixels.logits) - pixels.one_hot()
        weight = pixels.weight
        if self.class_weights is not None:
            weight = weight * weights_of_classes(self.class_weights, pixels)
        return self.mean(ops.mean(ops.square(difference), -1), weight, pixels.counted)

    def get_config(self):
        return super().get_config() | {"class_weights": self.class_weights}
