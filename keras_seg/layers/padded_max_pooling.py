"""3x3 max pooling with a padding of one pixel on all sides, as in PyTorch and Theano."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_seg.layers.tensors import Shape, Tensor, size_of, with_shape


@keras.saving.register_keras_serializable("keras_seg")
class PaddedMaxPooling2D(keras.layers.Layer):
    """3x3 max pooling with one pixel of padding on all sides.

    The padding counts as minus infinity, so it is never the maximum, also in negative maps.

    Shapes: (B, H, W, C) → (B, ceil(H / stride), ceil(W / stride), C).

    Args:
        stride: 1 or 2.

    Raises:
        ValueError: the stride is neither 1 nor 2.

    Example:
        y = keras_seg.layers.PaddedMaxPooling2D()(keras.Input((16, 16, 8)))  # (None, 8, 8, 8)
    """

    def __init__(self, stride: int = 2, **base_config: Any):
        super().__init__(**base_config)
        if stride not in (1, 2):
            raise ValueError(f"stride must be 1 or 2. Received: {stride!r}")
        self.stride = stride

    def call(self, x: Tensor) -> Tensor:
        # "same" pads both sides of an odd size, but an even size only below and to the right. So
        # an even size is padded by one pixel, and the window around that pixel is cropped. XNNPACK
        # runs these operators, also in int8; MIRROR_PAD took a third of iCNN's time.
        static, sizes = x.shape, size_of(x)
        is_even = self.stride == 2 and any(n is None or n % 2 == 0 for n in static[1:3])
        if is_even:
            x = ops.pad(x, [(0, 0), *((0, 1 - size % 2) for size in sizes), (0, 0)])
        x = ops.max_pool(x, 3, self.stride, "same")
        if is_even:
            height, width = (-(-size // self.stride) for size in sizes)
            x = x[:, :height, :width]
        return with_shape(x, self.compute_output_shape(static))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, height, width, channels = input_shape
        return (batch, *(n and -(-n // self.stride) for n in (height, width)), channels)

    def compute_output_spec(self, x: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(x.shape), x.dtype)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"stride": self.stride}
