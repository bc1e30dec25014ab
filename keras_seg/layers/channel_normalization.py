"""Layer normalization that runs on integers in exported int8 files."""

from __future__ import annotations

import keras
from keras import ops

from keras_seg.layers.tensors import Shape, Tensor, precise_dtype


@keras.saving.register_keras_serializable("keras_seg")
class ChannelNormalization(keras.layers.LayerNormalization):
    """Layer normalization of each pixel over its channels.

    Ba, Kiros, Hinton: Layer Normalization, arXiv:1607.06450. It gives the same results as
    Keras' layer, which negates the mean. TFLite has no integer operator for that, so int8 files
    with Keras' layer convert to float and back. Means are float32, also in mixed precision.

    Shapes: (..., C) → (..., C).

    Args: those of `keras.layers.LayerNormalization`; the axis must be that of the channels.

    Raises:
        ValueError: another axis, or `rms_scaling`.

    Example:
        y = keras_seg.layers.ChannelNormalization(epsilon=1e-6)(keras.Input((16, 16, 8)))
    """

    def build(self, input_shape: Shape) -> None:
        super().build(input_shape)
        if [*self.axis] not in ([-1], [len(input_shape) - 1]) or self.rms_scaling:
            raise ValueError(
                "ChannelNormalization normalises the channels of each pixel, which are the last "
                f"axis. Received: axis={self.axis}, rms_scaling={self.rms_scaling}. Use "
                "keras.layers.LayerNormalization or keras.layers.RMSNormalization."
            )

    def call(self, inputs: Tensor) -> Tensor:
        dtype = precise_dtype(self.compute_dtype)
        x = ops.cast(inputs, dtype)
        x = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(x), axis=-1, keepdims=True)
        x = x * ops.rsqrt(variance + self.epsilon)
        if self.scale:
            x = x * ops.cast(self.gamma, dtype)
        if self.center:
            x = x + ops.cast(self.beta, dtype)
        return ops.cast(x, self.compute_dtype)
