"""Normalization of camera pixels as the first layer of a network."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_seg.layers.tensors import Shape, Tensor

MODES = {
    # mode: (factor, mean, deviation) of y = (x * factor - mean) / deviation
    "unit": (1 / 255, 0.0, 1.0),
    "symmetric": (1 / 127.5, 1.0, 1.0),
    "imagenet": (1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": (1.0, (123.68, 116.779, 103.939), 1.0),
}


@keras.saving.register_keras_serializable("keras_seg")
class Preprocessing(keras.layers.Layer):
    """Maps pixels of 0 to 255 to the range that a network was trained on: y = x * scale + offset.

    Shapes: (B, H, W, C) pixels → (B, H, W, C).

    Args:
        mode: "unit" (0 to 1), "symmetric" (-1 to 1, as the mobile networks of Keras Applications
            expect), "imagenet" (mean and deviation of ImageNet's RGB; three channels) or "caffe"
            (mean of RGB only, pixels not scaled; three channels).

    Raises:
        ValueError: another mode, or a mode of three channels with another number of channels.

    Example:
        y = keras_seg.layers.Preprocessing("imagenet")(keras.Input((None, None, 3)))
    """

    def __init__(self, mode: str, **base_config: Any):
        super().__init__(**base_config)
        if not isinstance(mode, str) or mode not in MODES:
            raise ValueError(f"preprocessing must be None or one of {[*MODES]}. Received: {mode!r}")
        self.mode = mode
        factor, mean, deviation = (np.asarray(value, "float64") for value in MODES[mode])
        self.scale = (factor / deviation).astype("float32")
        self.offset = (-mean / deviation).astype("float32")

    def build(self, input_shape: Shape) -> None:
        channels = input_shape[-1]
        if np.size(self.offset) == 3 and channels != 3:
            raise ValueError(
                f"preprocessing={self.mode!r} is defined for 3 channels (RGB). Received: "
                f"{channels} channels. Use preprocessing='unit' for other images."
            )

    def call(self, x: Tensor) -> Tensor:
        x = keras.ops.cast(x, self.compute_dtype)
        scale = keras.ops.cast(self.scale, self.compute_dtype)
        return x * scale + keras.ops.cast(self.offset, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"mode": self.mode}
