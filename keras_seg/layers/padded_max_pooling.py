"""3x3 max pooling with a pixel of padding on all sides, as PyTorch and Theano write it."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("keras_seg")
class PaddedMaxPooling2D(keras.layers.Layer):
    """3x3 max pooling padded by one on all sides: (B, H, W, C) → (B, ceil(H/s), ceil(W/s), C).

    The padding acts as minus infinity: it never wins, negative maps included.

    Args:
        stride: s, 1 or 2.

    Raises: ValueError for another stride.
    """

    def __init__(self, stride: int = 2, **base_config):
        super().__init__(**base_config)
        if stride not in (1, 2):
            raise ValueError(f"stride must be 1 or 2. Received: {stride!r}")
        self.stride = stride

    def call(self, x):
        # "SAME" pads both sides of an odd size and the far side of an even one alone, so that an
        # even one gets a pixel more, whose window is cut off again. All of it are operators that
        # XNNPACK takes, also in int8; tf.pad's MIRROR_PAD took a third of iCNN's time.
        static, dynamic = x.shape, tf.shape(x)
        sizes = [dynamic[axis] if static[axis] is None else static[axis] for axis in (1, 2)]
        spare = [1 - size % 2 if self.stride == 2 else 0 for size in sizes]
        if spare != [0, 0]:
            x = tf.pad(x, [(0, 0), *((0, pixel) for pixel in spare), (0, 0)])
        x = tf.nn.max_pool2d(x, 3, self.stride, "SAME")
        if spare != [0, 0]:
            height, width = (-(-size // self.stride) for size in sizes)
            x = x[:, :height, :width]
        x.set_shape(self.compute_output_shape(static))
        return x

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        return (batch, *(n and -(-n // self.stride) for n in (height, width)), channels)

    def compute_output_spec(self, x):
        return keras.KerasTensor(self.compute_output_shape(x.shape), x.dtype)

    def get_config(self):
        return super().get_config() | {"stride": self.stride}
