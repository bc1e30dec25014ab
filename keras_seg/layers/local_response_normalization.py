"""Local response normalisation across channels.

Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks,
NeurIPS 2012.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from keras_seg.layers.precision import in_float32


@keras.saving.register_keras_serializable("keras_seg")
class LocalResponseNormalization(keras.layers.Layer):
    """y = x / (bias + alpha / size * sum of x² over the `size` nearest channels)^beta.

    Shapes: (B, H, W, C) → (B, H, W, C), computed in float32 at least.

    Args:
        size: channels of the sum, odd, the channel itself in the middle; fewer at both ends.
        alpha, beta, bias: as in Caffe and PyTorch, which divide alpha by the size. TensorFlow's
            operator does not: it takes `alpha / size` of these.

    The sum is a 1x1 convolution and the power exp(-beta * log): TensorFlow's operator would stay
    in float in a file for integer devices.

    Raises: ValueError for a size that is not odd and positive.
    """

    def __init__(
        self,
        size: int = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        bias: float = 1.0,
        **base_config,
    ):
        super().__init__(**base_config)
        if not isinstance(size, int) or size < 1 or size % 2 == 0:
            raise ValueError(f"size must be an odd positive whole number. Received: {size!r}")
        self.size, self.alpha, self.beta, self.bias = size, alpha, beta, bias

    def call(self, x):
        x = in_float32(x)  # squares of pixels overflow float16
        channel = np.arange(x.shape[-1])
        near = abs(channel[:, None] - channel) <= self.size // 2
        kernel = (self.alpha / self.size * near).astype(x.dtype.name)[None, None]
        power = tf.nn.conv2d(tf.square(x), kernel, strides=1, padding="VALID") + self.bias
        return tf.cast(x * tf.exp(-self.beta * tf.math.log(power)), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {
            "size": self.size,
            "alpha": self.alpha,
            "beta": self.beta,
            "bias": self.bias,
        }
