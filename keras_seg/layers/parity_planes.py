"""Planes that distinguish the copies of an up-sampled pixel."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_seg.layers.tensors import Shape, Tensor


@keras.saving.register_keras_serializable("keras_seg")
class ParityPlanes(keras.layers.Layer):
    """The parity of the column and of the row of each pixel.

    After nearest-neighbour up-sampling by two, four neighbours are equal. With these planes as
    extra channels (1 in odd columns, 1 in odd rows), a convolution can treat each of the four
    differently.

    Shapes: (B, H, W, C) → (B, H, W, 2).

    Source: Zhou et al., arXiv:1806.02479, as in their Theano code.

    Example:
        planes = keras_seg.layers.ParityPlanes()(keras.Input((16, 16, 8)))  # (None, 16, 16, 2)
    """

    def call(self, x: Tensor) -> Tensor:
        batch, height, width, _ = x.shape
        if None in (height, width):
            height, width = ops.shape(x)[1:3]
            rows, columns = (ops.arange(size, dtype="int32") % 2 for size in (height, width))
            planes = ops.stack(ops.meshgrid(columns, rows), axis=-1)[None]
        else:  # a constant, which an exported file stores
            rows, columns = np.mgrid[:height, :width] % 2
            planes = np.stack([columns, rows], axis=-1)[None]
        planes = ops.cast(planes, x.dtype)
        if batch != 1:
            planes = ops.tile(planes, (ops.shape(x)[0], 1, 1, 1))
        return planes

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:3], 2)

    def compute_output_spec(self, x: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(x.shape), x.dtype)
