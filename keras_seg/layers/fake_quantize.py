"""Rounds a tensor during training as an integer file will round it."""

from __future__ import annotations

from typing import Any

import keras

from keras_seg.layers.backend import on_tensorflow
from keras_seg.layers.tensors import Shape, Tensor

MOMENTUM = 0.99
"""Share of the old extreme that a training step keeps: ranges follow over about 100 steps."""


def check_backend(layer: keras.layers.Layer) -> None:
    """Raises RuntimeError on backends other than TensorFlow, which lack the rounding operators."""
    if not on_tensorflow():
        raise RuntimeError(
            f"{type(layer).__name__} rounds with an operator that only TensorFlow has. Received: "
            f"KERAS_BACKEND={keras.backend.backend()}. Quantization-aware training and export need "
            "KERAS_BACKEND=tensorflow."
        )


@keras.saving.register_keras_serializable("keras_seg")
class FakeQuantize(keras.layers.Layer):
    """Rounds values to 256 steps of a range that follows the training.

    Jacob et al.: Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
    Inference, CVPR 2018, arXiv:1712.05877. Gradients pass unchanged inside the range and are zero
    outside.

    Call the layer with `member`, the number of a tensor, to measure: while training it keeps moving
    averages of that tensor's smallest and largest value; the first batch counts in full. The range
    covers all members and zero. Without `member` the layer only rounds. Before the first training
    step nothing is rounded. `trainable = False` freezes the range.

    Shapes: any → the same, in float32 under every policy, because ranges are float32.

    Args:
        members: number of tensors that share the range. TFLite's pooling, resizing and
            concatenation pass integers through, so all tensors that they connect need one range.
        fixed: (low, high) of a range that is not measured, such as that of a sigmoid.
        momentum: share of the old extreme that a training step keeps.

    Differs from the paper: extremes are averaged per tensor, not per layer, and every training step
    rounds, because fine-tuning starts from a network whose ranges are stable.

    Raises:
        ValueError: a fixed range without zero, or a momentum outside of 0 to 1.
        RuntimeError: Keras runs on another backend than TensorFlow.
    """

    def __init__(
        self,
        members: int = 1,
        *,
        fixed: tuple[float, float] | None = None,
        momentum: float = MOMENTUM,
        **base_config: Any,
    ):
        super().__init__(autocast=False, **base_config)
        if fixed is not None and not fixed[0] <= 0 <= fixed[1]:
            raise ValueError(f"A range must contain zero. Received: fixed={tuple(fixed)}")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum must be at least 0 and below 1. Received: {momentum}")
        self.members, self.momentum = members, momentum
        self.fixed = None if fixed is None else tuple(fixed)

    def build(self, input_shape: Shape) -> None:
        check_backend(self)
        if self.fixed is None:
            # a row of zeros is a member without values so far; it does not change the shared range
            self.extremes = self.add_weight(
                shape=(self.members, 2),
                initializer="zeros",
                trainable=False,
                aggregation="mean",
                dtype="float32",
                autocast=False,
                name="extremes",
            )

    def call(self, x: Tensor, member: int | None = None, training: bool = False) -> Tensor:
        import tensorflow as tf

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
        """(low, high) of the values that are kept; None before the first training step."""
        if self.fixed is not None:
            return self.fixed
        extremes = keras.ops.convert_to_numpy(self.extremes)
        low, high = float(extremes[:, 0].min()), float(extremes[:, 1].max())
        return (low, high) if high > low else None

    def compute_output_spec(
        self, x: Tensor, member: int | None = None, training: bool = False
    ) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, "float32")

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "members": self.members,
            "fixed": self.fixed,
            "momentum": self.momentum,
        }

    def _updated(self, extremes: Tensor, x: Tensor, member: int) -> Tensor:
        import tensorflow as tf

        seen = tf.stack([tf.minimum(tf.reduce_min(x), 0.0), tf.maximum(tf.reduce_max(x), 0.0)])
        old = extremes[member]
        averaged = self.momentum * old + (1 - self.momentum) * seen
        new = tf.where(tf.reduce_all(old == 0.0), seen, averaged)
        return tf.tensor_scatter_nd_update(extremes, [[member]], [new])
