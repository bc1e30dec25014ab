"""Rounds a tensor as an integer file will, while the network is still being trained."""

from __future__ import annotations

import keras
import tensorflow as tf

MOMENTUM = 0.99
"""Share of an old extreme that a training step keeps: a hundred steps follow a moving network."""


@keras.saving.register_keras_serializable("keras_seg")
class FakeQuantize(keras.layers.Layer):
    """Rounds values to the 256 steps of a range that follows the tensors of the training.

    Jacob et al.: Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference, CVPR 2018, arXiv:1712.05877. Gradients pass unchanged inside the range and not at all
    outside of it.

    Shapes: any → the same, in float32 under every policy, as the ranges are.

    Args:
        members: how many tensors share the range. TFLite's pooling, resizing and concatenation
            leave the integers as they are, so all that they connect has one range.
        fixed: (low, high) of a range that is not measured, such as that of a sigmoid.
        momentum: share of an old extreme that a training step keeps.

    Called with `member`, the number of one of these tensors, it keeps moving averages of the
    smallest and largest value of that tensor while it trains; the first batch counts whole. The
    range is that of all members together, and zero always lies in it. Without `member` it rounds
    only. Nothing is rounded before the first training step. `trainable = False` holds the range.

    Differs from the paper: extremes are averaged a tensor, not a layer, and no training step goes
    by without rounding, since fine-tuning starts from a network whose ranges are settled.

    Raises: ValueError for a fixed range without zero, or a momentum outside of 0..1.
    """

    def __init__(
        self,
        members: int = 1,
        *,
        fixed: tuple[float, float] | None = None,
        momentum: float = MOMENTUM,
        **base_config,
    ):
        super().__init__(autocast=False, **base_config)
        if fixed is not None and not fixed[0] <= 0 <= fixed[1]:
            raise ValueError(f"A range must hold zero. Received: fixed={tuple(fixed)}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be from 0 up to but without 1. Received: {momentum}")
        self.members, self.momentum = members, momentum
        self.fixed = None if fixed is None else tuple(fixed)

    def build(self, input_shape):
        if self.fixed is None:
            # a row of zeros is a member that was not seen yet, and leaves the others' range alone
            self.extremes = self.add_weight(
                shape=(self.members, 2),
                initializer="zeros",
                trainable=False,
                aggregation="mean",
                dtype="float32",
                autocast=False,
                name="extremes",
            )

    def call(self, x, member: int | None = None, training=False):
        x = tf.cast(x, tf.float32)
        if self.fixed is not None:
            return tf.quantization.fake_quant_with_min_max_args(x, *self.fixed)
        extremes = tf.convert_to_tensor(self.extremes)
        if training and self.trainable and member is not None:
            extremes = self._updated(extremes, x, member)
            self.extremes.assign(extremes)
        extremes = tf.stop_gradient(extremes)
        low, high = tf.reduce_min(extremes[:, 0]), tf.reduce_max(extremes[:, 1])
        known = high > low
        rounded = tf.quantization.fake_quant_with_min_max_vars(x, low, tf.where(known, high, 1.0))
        return tf.where(known, rounded, x)

    def range(self) -> tuple[float, float] | None:
        """(low, high), None before the first training step."""
        if self.fixed is not None:
            return self.fixed
        extremes = keras.ops.convert_to_numpy(self.extremes)
        low, high = float(extremes[:, 0].min()), float(extremes[:, 1].max())
        return (low, high) if high > low else None

    def compute_output_spec(self, x, member=None, training=False):
        return keras.KerasTensor(x.shape, "float32")

    def get_config(self):
        return super().get_config() | {
            "members": self.members,
            "fixed": self.fixed,
            "momentum": self.momentum,
        }

    def _updated(self, extremes, x, member):
        seen = tf.stack([tf.minimum(tf.reduce_min(x), 0.0), tf.maximum(tf.reduce_max(x), 0.0)])
        old = extremes[member]
        averaged = self.momentum * old + (1 - self.momentum) * seen
        new = tf.where(tf.reduce_all(old == 0.0), seen, averaged)
        return tf.tensor_scatter_nd_update(extremes, [[member]], [new])
