"""Layer normalization that integer files hold in integers."""

from __future__ import annotations

import keras
from keras import ops

from keras_seg.layers.precision import precise_dtype


@keras.saving.register_keras_serializable("keras_seg")
class ChannelNormalization(keras.layers.LayerNormalization):
    """Layer normalization of each pixel over its channels; (..., C) → (..., C).

    Ba, Kiros, Hinton: Layer Normalization, arXiv:1607.06450. Computes what Keras' own does, which
    however negates the mean: TFLite has no such operator on integers, so that every int8 file with
    one would go through float. Means are taken in float32 also in mixed precision.

    Args: those of `keras.layers.LayerNormalization`, with the axis of the channels alone.
    Raises: ValueError for other axes, or for `rms_scaling`.
    """

    def build(self, input_shape):
        super().build(input_shape)
        if [*self.axis] not in ([-1], [len(input_shape) - 1]) or self.rms_scaling:
            raise ValueError(
                "ChannelNormalization normalises the channels of each pixel, which are the last "
                f"axis. Received: axis={self.axis}, rms_scaling={self.rms_scaling}. Use "
                "keras.layers.LayerNormalization or keras.layers.RMSNormalization."
            )

    def call(self, inputs):
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
