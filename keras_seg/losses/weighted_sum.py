"""Sums of losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras

from keras_seg.losses.arithmetic import LossArithmetic


@keras.saving.register_keras_serializable("keras_seg")
class WeightedSum(LossArithmetic, keras.losses.Loss):
    """sum of weight * loss; `WeightedSum([CrossEntropy(), Dice()], weights=[1, 0.5])`.

    The same as `CrossEntropy() + 0.5 * Dice()` and `losses.get("cross_entropy+0.5*dice")`.

    Args:
        losses: of this package or of Keras; a name or a mapping is read by `keras_seg.losses.get`.
        weights: one factor per loss; None for 1.

    Raises: ValueError for something that is no loss, or another number of weights.
    """

    def __init__(
        self,
        losses: Sequence[keras.losses.Loss],
        *,
        weights: Sequence[float] | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str = "weighted_sum",
    ):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        weights = [1.0] * len(losses) if weights is None else [float(w) for w in weights]
        if not losses or len(weights) != len(losses):
            raise ValueError(
                "WeightedSum needs losses and one weight a loss. "
                f"Received: {len(losses)} losses and {len(weights)} weights"
            )
        self.losses = [_loss(loss) for loss in losses]
        self.weights = weights

    @property
    def multi_label(self) -> bool:
        """Whether a part takes each channel as a label of its own."""
        return any(getattr(loss, "multi_label", False) for loss in self.losses)

    def __call__(self, y_true, y_pred, sample_weight=None):
        self._check_labels(y_pred)
        # Each part reduces over its own counted pixels, so the sum is taken of reduced values.
        parts = zip(self.weights, self.losses, strict=True)
        return sum(w * loss(y_true, y_pred, sample_weight) for w, loss in parts)

    def call(self, y_true, y_pred):
        return self(y_true, y_pred)

    def _check_labels(self, y_pred):
        """One channel is read alike by both kinds of losses; several are not."""
        kinds = {getattr(loss, "multi_label", None): loss.name for loss in self.losses}
        if {True, False} <= kinds.keys() and y_pred.shape[-1] != 1:
            raise ValueError(
                f"{kinds[True]} has multi_label=True and {kinds[False]} has not, so that one takes "
                "each channel as a label of its own and the other one class per pixel. Give "
                "both the same."
            )

    def get_config(self):
        return super().get_config() | {
            "losses": [keras.losses.serialize(loss) for loss in self.losses],
            "weights": self.weights,
        }


def _loss(loss) -> keras.losses.Loss:
    if isinstance(loss, Mapping) and "class_name" in loss:  # of `get_config`
        loss = keras.losses.deserialize(loss)
    elif isinstance(loss, str | Mapping):
        # keras.losses.get would take "dice" for Keras' own function
        from keras_seg.losses import get

        loss = get(loss)
    if not isinstance(loss, keras.losses.Loss):
        raise ValueError(
            f"WeightedSum adds losses, objects of keras.losses.Loss. Received: {loss!r}. Make a "
            "function one by subclassing keras.losses.Loss."
        )
    return loss
