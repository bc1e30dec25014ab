"""Sums of losses."""

from __future__ import annotations

from collections.abc import Sequence

import keras


@keras.saving.register_keras_serializable("keras_seg")
class WeightedSum(keras.losses.Loss):
    """sum of weight * loss; `WeightedSum([CrossEntropy(), Dice()], weights=[1, 0.5])`."""

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
        self.losses = [keras.losses.get(loss) for loss in losses]
        self.weights = weights

    def __call__(self, y_true, y_pred, sample_weight=None):
        # Each part reduces over its own counted pixels, so the sum is taken of reduced values.
        parts = zip(self.weights, self.losses, strict=True)
        return sum(w * loss(y_true, y_pred, sample_weight) for w, loss in parts)

    def call(self, y_true, y_pred):
        return self(y_true, y_pred)

    def get_config(self):
        return super().get_config() | {
            "losses": [keras.losses.serialize(loss) for loss in self.losses],
            "weights": self.weights,
        }
