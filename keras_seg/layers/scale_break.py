"""A point at which an integer file may change the scale of its numbers."""

from __future__ import annotations

import keras

from keras_seg.layers.backend import on_tensorflow
from keras_seg.layers.tensors import Shape, Tensor


@keras.saving.register_keras_serializable("keras_seg")
class ScaleBreak(keras.layers.Layer):
    """Identity that stays an operator in exported files, so that int8 can requantize there.

    Pooling, resizing and concatenation pass integers through, so TFLite needs one scale for all
    tensors that they connect. Its quantizer fails where such operators connect a map to several
    concatenations with ranges of their own ("violate the same scale constraint"). A depthwise
    convolution by one runs on any device and has a scale on each side.

    Shapes: (B, H, W, C) → the same, unchanged.
    """

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        if training or not on_tensorflow():  # only TensorFlow exports
            return x
        return _convolved_by_one(x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


def _convolved_by_one(x: Tensor) -> Tensor:
    """The same values from a depthwise convolution, by TensorFlow's operator."""
    import tensorflow as tf

    ones = tf.ones((1, 1, x.shape[-1], 1), x.dtype)
    return tf.nn.depthwise_conv2d(x, ones, (1, 1, 1, 1), "VALID")
