"""Losses on integer masks: (B, H, W) classes against (B, H, W, num_classes) scores.

All compute in float32 and count no pixel of `ignore_class`. A network with one output channel is
binary: its score z stands for the two classes with scores 0 and z.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from keras_seg.names import IGNORE_CLASS, unknown_name


@keras.saving.register_keras_serializable("keras_seg")
class CrossEntropy(keras.losses.SparseCategoricalCrossentropy):
    """-log p[y], averaged over the pixels that are not ignored.

    Keras' own loss, which lacks the binary case and float32 under mixed precision.
    """

    def __init__(
        self,
        *,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        name: str = "cross_entropy",
        **base_config,
    ):
        super().__init__(
            from_logits=from_logits, ignore_class=ignore_class, name=name, **base_config
        )

    def call(self, y_true, y_pred):
        return super().call(y_true, _all_classes(y_pred, self.from_logits))


@keras.saving.register_keras_serializable("keras_seg")
class Dice(keras.losses.Loss):
    """1 - mean over classes of 2 sum(p t) / (sum(p) + sum(t)), sums over all counted pixels.

    p: probability, t: one-hot truth. Classes that occur nowhere in the batch's truth are left out
    of the mean, since their term could only punish small probabilities everywhere.
    Source: Milletari et al., V-Net, arXiv:1606.04797 (there with squares in the denominator).
    """

    def __init__(
        self,
        *,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        name: str = "dice",
        **base_config,
    ):
        super().__init__(name=name, **base_config)
        self.from_logits, self.ignore_class = from_logits, ignore_class

    def call(self, y_true, y_pred):
        probabilities = _all_classes(y_pred, self.from_logits)
        if self.from_logits:
            probabilities = ops.softmax(probabilities)
        y_true = ops.cast(y_true, "int32")
        # one_hot gives zeros outside 0..num_classes - 1, but the ignore class may lie inside.
        truth = ops.one_hot(y_true, probabilities.shape[-1], dtype="float32")
        if self.ignore_class is not None:
            counted = ops.cast(y_true != self.ignore_class, "float32")[..., None]
            truth, probabilities = truth * counted, probabilities * counted
        axes = tuple(range(len(truth.shape) - 1))
        overlap = ops.sum(truth * probabilities, axes)
        truth_size, size = ops.sum(truth, axes), ops.sum(probabilities, axes)
        dice = 2 * overlap / ops.maximum(truth_size + size, keras.config.epsilon())
        present = ops.cast(truth_size > 0, "float32")
        # A batch without a counted pixel has no loss.
        return ops.divide_no_nan(ops.sum((1 - dice) * present), ops.sum(present))

    def get_config(self):
        return super().get_config() | {
            "from_logits": self.from_logits,
            "ignore_class": self.ignore_class,
        }


@keras.saving.register_keras_serializable("keras_seg")
class WeightedSum(keras.losses.Loss):
    """sum of weight * loss; `WeightedSum([CrossEntropy(), Dice()], weights=[1, 0.5])`."""

    def __init__(
        self,
        losses: Sequence[keras.losses.Loss],
        *,
        weights: Sequence[float] | None = None,
        name: str = "weighted_sum",
        **base_config,
    ):
        super().__init__(name=name, **base_config)
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


LOSSES = {
    "cross_entropy": lambda: CrossEntropy(),
    "dice": lambda: Dice(),
    "cross_entropy+dice": lambda: WeightedSum(
        [CrossEntropy(), Dice()], name="cross_entropy_and_dice"
    ),
}


def get(name: str) -> keras.losses.Loss:
    """A loss by the name that recipes use; ValueError with the nearest name otherwise."""
    if name not in LOSSES:
        raise ValueError(unknown_name("loss", name, LOSSES))
    return LOSSES[name]()


def _all_classes(y_pred, from_logits: bool):
    """float32 scores of at least two classes: (..., 1) becomes (..., 2)."""
    y_pred = ops.cast(y_pred, "float32")
    if y_pred.shape[-1] > 1:
        return y_pred
    background = ops.zeros_like(y_pred) if from_logits else 1 - y_pred
    return ops.concatenate([background, y_pred], axis=-1)
