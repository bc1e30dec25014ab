"""Squared error of the probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_seg.losses.base import Pixels, SegmentationLoss
from keras_seg.names import IGNORE_CLASS


@keras.saving.register_keras_serializable("keras_seg")
class SquaredError(SegmentationLoss):
    """Squared error: mean over the classes of (p[c] - truth[c])^2, averaged over the pixels.

    With one output channel this is (sigmoid(z) - truth)^2, the loss of the ResUNet paper. With
    `multi_label` it is (sigmoid(z) - truth)^2, averaged over the labels that count. Keras'
    loss takes no class indices, only targets of the shape of the probabilities, and ignores no
    pixels.
    Source: Zhang et al., arXiv:1711.10684.

    Args:
        class_weights: as for `CrossEntropy`.
        from_logits, ignore_class, reduction, multi_label, name: see `SegmentationLoss`.

    Raises: ValueError for options that do not fit.

    Example:
        >>> masks = np.array([[[0, 1], [1, 255]]])  # (batch, height, width); 255 is ignored
        >>> logits = np.array([[[[2, 0], [0, 1]], [[1, 0], [0, 0]]]], "float32")
        >>> round(float(keras_seg.losses.SquaredError()(masks, logits)), 4)
        0.207
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
    ) -> None:
        super().__init__(
            from_logits=from_logits,
            ignore_class=ignore_class,
            reduction=reduction,
            multi_label=multi_label,
            name=name,
        )
        self.set_class_weights(class_weights)

    def loss_of(self, pixels: Pixels) -> Any:
        """The reduced loss of a batch."""
        values = ops.square(pixels.probabilities() - pixels.one_hot())
        if not pixels.multi_label:
            values = ops.mean(values, -1)
        return self.mean(values, self.weighted_by_class(pixels), pixels.counted)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {"class_weights": self.class_weights_config()}
