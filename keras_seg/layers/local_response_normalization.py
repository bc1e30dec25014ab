"""Local response normalization across channels.

Krizhevsky, Sutskever, Hinton: ImageNet Classification with Deep Convolutional Neural Networks,
NeurIPS 2012.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seg.layers.backend import on_tensorflow
from keras_seg.layers.tensors import Shape, Tensor, in_float32


@keras.saving.register_keras_serializable("keras_seg")
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each value by a power of the mean square of the neighbouring channels.

    y = x / (bias + alpha / size * sum of x² over the `size` nearest channels)^beta. The sum is a
    1x1 convolution and the power is exp(-beta * log). TensorFlow's own operator has no integer
    form, so an int8 file would compute that part in float.

    Shapes: (B, H, W, C) → (B, H, W, C), computed in float32 at least.

    Args:
        size: number of channels in the sum, odd, centred on the channel; fewer at both ends.
        alpha, beta, bias: as in Caffe and PyTorch, which divide alpha by the size. TensorFlow's
            operator does not: pass it `alpha / size`.

    Raises:
        ValueError: the size is not odd and positive.

    Example:
        y = keras_seg.layers.LocalResponseNormalization(5)(keras.Input((16, 16, 8)))
    """

    def __init__(
        self,
        size: int = 5,
        alpha: float = 1e-4,
        beta: float = 0.75,
        bias: float = 1.0,
        **base_config: Any,
    ):
        super().__init__(**base_config)
        if not isinstance(size, int) or size < 1 or size % 2 == 0:
            raise ValueError(f"size must be an odd positive whole number. Received: {size!r}")
        self.size, self.alpha, self.beta, self.bias = size, alpha, beta, bias

    def call(self, x: Tensor) -> Tensor:
        x = in_float32(x)  # squares of pixels overflow float16
        channel = np.arange(x.shape[-1])
        near = abs(channel[:, None] - channel) <= self.size // 2
        dtype = keras.backend.standardize_dtype(x.dtype)
        kernel = (self.alpha / self.size * near).astype(dtype)[None, None]
        power = _convolution(self.square(x), kernel) + self.bias
        return ops.cast(self.normalized(x, power), self.compute_dtype)

    def square(self, x: Tensor) -> Tensor:
        """x * x. An export overrides it with other operators."""
        return ops.square(x)

    def normalized(self, x: Tensor, power: Tensor) -> Tensor:
        """x / power^beta. An export overrides it with other operators."""
        return x * ops.exp(-self.beta * ops.log(power))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "size": self.size,
            "alpha": self.alpha,
            "beta": self.beta,
            "bias": self.bias,
        }


def _convolution(x: Tensor, kernel: Tensor) -> Tensor:
    """1x1 convolution."""
    if on_tensorflow():
        import tensorflow as tf

        return tf.nn.conv2d(x, kernel, strides=1, padding="VALID")  # names in exported files
    return ops.conv(x, kernel, data_format="channels_last")
