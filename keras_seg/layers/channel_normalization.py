"""Layer normalization that integer files hold in integers."""

from __future__ import annotations

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_seg")
class ChannelNormalization(keras.layers.LayerNormalization):
    """Layer normalization of each pixel over its channels; (..., C) → (..., C).

    Ba, Kiros, Hinton: Layer Normalization, arXiv:1607.06450. Computes what Keras' own does, which
    however negates the mean: TFLite has no such operator on integers, so that every int8 file with
    one would go through float. Means are taken in float32 also in mixed precision.
    """

    def call(self, inputs):
        x = ops.cast(inputs, "float32")
        x = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(x), axis=-1, keepdims=True)
        x = x * ops.rsqrt(variance + self.epsilon)
        x = x * ops.cast(self.gamma, "float32") + ops.cast(self.beta, "float32")
        return ops.cast(x, self.compute_dtype)
