"""A place where an integer file may change the scale of its numbers."""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("keras_seg")
class ScaleBreak(keras.layers.Layer):
    """Identity that stays an operator in exported files, so that int8 can requantize there.

    Pooling, resizing and concatenation leave the integers as they are, so TFLite wants one scale
    for all that they connect. Its quantizer gives up where such operators join a map to several
    concatenations with ranges of their own ("violate the same scale constraint"). A depthwise
    convolution by one, which any device runs, has a scale on each side.

    Shapes: (B, H, W, C) → the same, unchanged.
    """

    def call(self, x, training=False):
        if training:
            return x
        ones = tf.ones((1, 1, x.shape[-1], 1), x.dtype)
        return tf.nn.depthwise_conv2d(x, ones, (1, 1, 1, 1), "VALID")

    def compute_output_shape(self, input_shape):
        return input_shape
