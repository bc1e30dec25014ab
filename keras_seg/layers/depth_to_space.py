"""Sub-pixel rearrangement: channels become pixels."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_seg.layers.backend import on_tensorflow
from keras_seg.layers.tensors import Shape, Tensor


@keras.saving.register_keras_serializable("keras_seg")
class DepthToSpace(keras.layers.Layer):
    """Rearranges channels into squares of pixels.

    Channel (i * scale + j) * C + c becomes channel c of row i and column j of the square. It is a
    layer and not a function, so that quantization recognises that integers pass through it.

    Shapes: (B, H, W, scale² * C) → (B, scale * H, scale * W, C).

    Source: Shi et al., CVPR 2016, arXiv:1609.05158, with the channels in TensorFlow's order.

    Args:
        scale: side of the squares in pixels.

    Raises:
        ValueError: the number of channels is not a multiple of scale².

    Example:
        y = keras_seg.layers.DepthToSpace(2)(keras.Input((8, 8, 12)))  # (None, 16, 16, 3)
    """

    def __init__(self, scale: int, **base_config: Any):
        super().__init__(**base_config)
        self.scale = scale

    def call(self, x: Tensor) -> Tensor:
        return _by_tensorflow(x, self.scale) if on_tensorflow() else _by_transposing(x, self.scale)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, height, width, channels = input_shape
        if channels % self.scale**2:
            raise ValueError(
                f"DepthToSpace with scale={self.scale} needs a multiple of {self.scale**2} "
                f"channels. Received: {channels}"
            )
        height, width = (None if size is None else size * self.scale for size in (height, width))
        return (batch, height, width, channels // self.scale**2)

    def compute_output_spec(self, x: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(x.shape), x.dtype)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"scale": self.scale}


def _by_tensorflow(x: Tensor, scale: int) -> Tensor:
    """TensorFlow's operator, which becomes one operator of TFLite and of ONNX."""
    import tensorflow as tf

    return tf.nn.depth_to_space(x, scale)


def _by_transposing(x: Tensor, scale: int) -> Tensor:
    """The form for other backends; `keras.ops.depth_to_space` exists since Keras 3.14 only."""
    batch, height, width, channels = ops.shape(x)
    channels //= scale**2
    x = ops.reshape(x, (batch, height, width, scale, scale, channels))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (batch, height * scale, width * scale, channels))
