"""Squared error of the probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
from keras import ops

from keras_seg.losses.base import Pixels, SegmentationLoss
from keras_seg.names import IGNORE_CLASS


@keras.saving.register_keras_serializable("keras_seg")
class SquaredError(SegmentationLoss):
    """mean over the classes of (p[c] - truth[c])^2, averaged over the pixels that count.

    With one output channel this is (sigmoid(z) - truth)^2, the loss of the ResUNet paper. Keras'
    takes no classes, only targets of the shape of the probabilities, and has no ignored pixels.
    Source: Zhang et al., arXiv:1711.10684.

    With `multi_label` it is (sigmoid(z) - truth)^2, averaged over the labels that count.

    Args:
        class_weights: as for `CrossEntropy`.
    """

    def __init__(
        self,
        *,
        class_weights: Mapping[int, float] | Sequence[float] | None = None,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        multi_label: bool = False,
        name: str = "squared_error",
    ):
        super().__init__(
            from_logits=from_logits,
            ignore_class=ignore_class,
            reduction=reduction,
            multi_label=multi_label,
            name=name,
        )
        self._take_class_weights(class_weights)

    def loss_of(self, pixels: Pixels):
        values = ops.square(pixels.probabilities() - pixels.one_hot())
        if not pixels.multi_label:
            values = ops.mean(values, -1)
        return self.mean(values, self.weighted_by_class(pixels), pixels.counted)

    def get_config(self):
        return super().get_config() | {"class_weights": self._class_weights_config()}
