"""Channels that are pixels, put in their places."""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable("keras_seg")
class DepthToSpace(keras.layers.Layer):
    """Makes every pixel a square of pixels: (B, H, W, scale² * C) → (B, scale * H, scale * W, C).

    Channel (i * scale + j) * C + c becomes channel c of row i and column j of the square. A layer
    and not the function, so that quantization knows that it hands its integers on.

    Source: Shi et al., CVPR 2016, arXiv:1609.05158, with the channels in TensorFlow's order.
    Raises: ValueError if scale² does not divide the channels.
    """

    def __init__(self, scale: int, **base_config):
        super().__init__(**base_config)
        self.scale = scale

    def call(self, x):
        if hasattr(ops, "depth_to_space"):  # since Keras 3.14
            return ops.depth_to_space(x, self.scale)
        return tf.nn.depth_to_space(x, self.scale)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        if channels % self.scale**2:
            raise ValueError(
                f"DepthToSpace with scale={self.scale} needs a multiple of {self.scale**2} "
                f"channels. Received: {channels}"
            )
        height, width = (None if size is None else size * self.scale for size in (height, width))
        return (batch, height, width, channels // self.scale**2)

    def compute_output_spec(self, x):
        return keras.KerasTensor(self.compute_output_shape(x.shape), x.dtype)

    def get_config(self):
        return super().get_config() | {"scale": self.scale}
