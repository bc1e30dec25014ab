"""Focal loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_seg.arguments import number
from keras_seg.losses.base import Pixels, SegmentationLoss
from keras_seg.losses.cross_entropy import cross_entropy
from keras_seg.names import IGNORE_CLASS


@keras.saving.register_keras_serializable("keras_seg")
class Focal(SegmentationLoss):
    """Focal loss: -(1 - p[y])^gamma log p[y], averaged over the pixels that count.

    With one output channel, or `multi_label`, this is the sigmoid focal loss of the paper; with
    more channels it is the softmax form. Keras has both for one-hot labels only, without ignored
    pixels. Soft labels weight the terms of the classes.

    Differs from the paper: mean over pixels (with `multi_label` over labels), where the paper
    divides by the number of objects; alpha is None by default, the paper's is 0.25.
    Source: Lin et al., arXiv:1708.02002.

    Args:
        gamma: how strongly easy pixels are down-weighted; 0 gives the cross-entropy.
        alpha: weight of class or label 1; class 0 weighs 1 - alpha. None for equal weights. For two
            classes, where it means class_weights=(1 - alpha, alpha), and for `multi_label`.
        class_weights: as for `CrossEntropy`.
        from_logits, ignore_class, reduction, multi_label, name: see `SegmentationLoss`.

    Raises: ValueError for options that do not fit.

    Example:
        >>> masks = np.array([[[0, 1], [1, 255]]])  # (batch, height, width); 255 is ignored
        >>> logits = np.array([[[[2, 0], [0, 1]], [[1, 0], [0, 0]]]], "float32")
        >>> round(float(keras_seg.losses.Focal()(masks, logits)), 4)
        0.2421
    """

    def __init__(
        self,
        *,
        gamma: float = 2.0,
        alpha: float | None = None,
        class_weights: Mapping[int, float] | Sequence[float] | None = None,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        multi_label: bool = False,
        name: str = "focal",
    ) -> None:
        super().__init__(
            from_logits=from_logits,
            ignore_class=ignore_class,
            reduction=reduction,
            multi_label=multi_label,
            name=name,
        )
        gamma = number(gamma, "gamma")
        if gamma < 0:
            raise ValueError(f"gamma must not be below 0. Received: {gamma}")
        self.gamma = gamma
        self.alpha = None if alpha is None else number(alpha, "alpha")
        if self.alpha is not None and not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha must be 0 to 1. Received: {alpha}")
        self._is_class_pair = self.alpha is not None and not self.multi_label
        if self._is_class_pair and class_weights is not None:
            raise ValueError(
                "alpha is the class_weights of two classes, (1 - alpha, alpha). Give one of them. "
                f"Received: alpha={alpha} and class_weights={class_weights}"
            )
        self.set_class_weights(
            (1 - self.alpha, self.alpha) if self._is_class_pair else class_weights
        )

    def loss_of(self, pixels: Pixels) -> Any:
        """The reduced loss of a batch."""
        num_classes = pixels.logits.shape[-1]
        if self._is_class_pair and num_classes != 2:
            raise ValueError(
                f"alpha is for two classes, or multi_label; the scores have {num_classes} classes. "
                "Give class_weights, one number per class."
            )
        weight = self.weighted_by_class(pixels)
        if pixels.multi_label:
            present, absent = (1.0, 1.0) if self.alpha is None else (self.alpha, 1 - self.alpha)
            z, truth = pixels.logits, pixels.truth
            values = present * truth * self._modulated(ops.softplus(-z))
            values = values + absent * (1 - truth) * self._modulated(ops.softplus(z))
        elif pixels.truth is None:
            values = self._modulated(cross_entropy(pixels))
        else:
            log_p = ops.log_softmax(pixels.logits)
            values = ops.sum(pixels.truth * self._modulated(-log_p), -1)
        return self.mean(values, weight, pixels.counted)

    def _modulated(self, minus_log_p: Any) -> Any:
        """(1 - p)^gamma times -log p."""
        if not self.gamma:
            return minus_log_p
        # 1 - p without cancellation; above 0, where a power below 1 has an infinite slope
        wrong = ops.maximum(-ops.expm1(-minus_log_p), 1e-12)
        return wrong**self.gamma * minus_log_p

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {
            "gamma": self.gamma,
            "alpha": self.alpha,
            "class_weights": None if self._is_class_pair else self.class_weights_config(),
        }
