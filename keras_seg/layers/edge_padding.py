"""Padding in older `.keras` files; networks now use `PaddedMaxPooling2D`."""

from __future__ import annotations

import keras
from keras import ops

from keras_seg.layers.tensors import Shape, Tensor


@keras.saving.register_keras_serializable("keras_seg")
class EdgePadding2D(keras.layers.Layer):
    """Repeats the outermost rows and columns once: (B, H, W, C) → (B, H + 2, W + 2, C).

    Kept so that files of older versions still load and export.
    """

    def call(self, x: Tensor) -> Tensor:
        # by one pixel, "symmetric" repeats the border; it is one TFLite operator, also in int8
        return ops.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], mode="symmetric")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, height, width, channels = input_shape
        return (batch, height and height + 2, width and width + 2, channels)

    def compute_output_spec(self, x: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(x.shape), x.dtype)
