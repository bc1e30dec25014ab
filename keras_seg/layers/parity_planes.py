"""Planes that distinguish the copies of an up-sampled pixel."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from keras_seg.layers.tensors import Shape, Tensor


@keras.saving.register_keras_serializable("keras_seg")
class ParityPlanes(keras.layers.Layer):
    """The parity of the column and of the row of every pixel: (B, H, W, C) → (B, H, W, 2).

    After nearest-neighbour up-sampling by two, four neighbours are equal. With these planes as
    extra channels (1 on odd columns, 1 on odd rows), a convolution can treat each of the four
    differently.

    Source: Zhou et al., arXiv:1806.02479, as in their Theano code.
    """

    def call(self, x: Tensor) -> Tensor:
        batch, height, width, _ = x.shape
        if None in (height, width):
            sizes = tf.shape(x)
            rows, columns = (tf.range(sizes[axis]) % 2 for axis in (1, 2))
            planes = tf.stack(tf.meshgrid(columns, rows), axis=-1)[None]
        else:  # a constant, which an exported file stores
            rows, columns = np.mgrid[:height, :width] % 2
            planes = np.stack([columns, rows], axis=-1)[None]
        planes = tf.cast(planes, x.dtype)
        if batch != 1:
            planes = tf.tile(planes, (tf.shape(x)[0], 1, 1, 1))
        return planes

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:3], 2)

    def compute_output_spec(self, x: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(x.shape), x.dtype)
