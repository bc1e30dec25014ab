"""Padding of older `.keras` files of iCNN and Xception, which have `PaddedMaxPooling2D` now."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("keras_seg")
class EdgePadding2D(keras.layers.Layer):
    """Repeats the outermost rows and columns once: (B, H, W, C) → (B, H + 2, W + 2, C).

    Only for files of older versions, so that they still load and export.
    """

    def call(self, x):
        # for one pixel, "symmetric" is the border itself; one TFLite operator, also in int8
        return tf.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="SYMMETRIC")

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, height and height + 2, width and width + 2, channels)

    def compute_output_spec(self, x):
        return keras.KerasTensor(self.compute_output_shape(x.shape), x.dtype)
