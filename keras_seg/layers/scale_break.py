"""A point at which an integer file may change the scale of its numbers."""

from __future__ import annotations

import keras

from keras_seg.layers.backend import on_tensorflow
from keras_seg.layers.tensors import Shape, Tensor


@keras.saving.register_keras_serializable("keras_seg")
class ScaleBreak(keras.layers.Layer):
    """Identity that remains an operator in exported files, where int8 can change the scale.

    Pooling, resizing and concatenation pass integers through, so TFLite needs one scale for all
    tensors that they connect. Its quantizer fails where such operators connect a map to several
    concatenations with different ranges ("violate the same scale constraint"). A depthwise
    convolution with kernel 1 and weight 1 runs on every device and has one scale on each side.

    On other backends than TensorFlow, which do not export, the map is returned as it is.

    Shapes: (B, H, W, C) → the same, unchanged.
    """

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        if training or not on_tensorflow():
            return x
        return _convolved_by_one(x)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


def _convolved_by_one(x: Tensor) -> Tensor:
    """The map after a depthwise convolution with weight 1, by TensorFlow's operator."""
    import tensorflow as tf

    ones = tf.ones((1, 1, x.shape[-1], 1), x.dtype)
    return tf.nn.depthwise_conv2d(x, ones, (1, 1, 1, 1), "VALID")
