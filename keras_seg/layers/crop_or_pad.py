"""Cropping and zero padding to the size of another map."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_seg.layers.tensors import Shape, Tensor

ALIGNMENTS = ("centre", "top_left")


@keras.saving.register_keras_serializable("keras_seg")
class CropOrPad(keras.layers.Layer):
    """Crops a map, or pads it with zeros, to the height and width of another tensor.

    Shapes: called with `like` of (B, H', W', ...): (B, H, W, C) → (B, H', W', C).

    Args:
        align: "centre" splits the difference between both sides; an odd pixel goes below and to the
            right. "top_left" crops and pads below and to the right only.

    Raises:
        ValueError: another alignment.

    Example:
        up, skip = keras.Input((16, 16, 8)), keras.Input((15, 17, 4))
        y = keras_seg.layers.CropOrPad()(up, skip)  # (None, 15, 17, 8)
    """

    def __init__(self, align: str = "centre", **base_config: Any):
        super().__init__(**base_config)
        if align not in ALIGNMENTS:
            raise ValueError(f"align must be one of {ALIGNMENTS}. Received: {align!r}")
        self.align = align

    def build(self, x_shape: Shape, like_shape: Shape | None = None) -> None:
        """Has no weights; Keras passes the shapes of the inputs by name."""

    def call(self, x: Tensor, like: Tensor) -> Tensor:
        static = self.compute_output_shape(x.shape, like.shape)
        sizes, targets = tf.shape(x), tf.shape(like)
        paddings = [(0, 0)] * 4
        for axis in (1, 2):
            size, target = x.shape[axis], static[axis]
            if size is not None and size == target:
                continue
            if size is None or target is None:
                size, target = sizes[axis], targets[axis]
                surplus, missing = tf.maximum(size - target, 0), tf.maximum(target - size, 0)
            else:
                surplus, missing = max(size - target, 0), max(target - size, 0)
            cut, before = self._before(surplus), self._before(missing)
            kept = slice(cut, cut + target)
            x = x[:, kept] if axis == 1 else x[:, :, kept]
            paddings[axis] = (before, missing - before)
        if paddings != [(0, 0)] * 4:
            x = tf.pad(x, paddings)
        x.set_shape(static)
        return x

    def compute_output_shape(self, x_shape: Shape, like_shape: Shape) -> Shape:
        return (x_shape[0], like_shape[1], like_shape[2], x_shape[3])

    def compute_output_spec(self, x: Tensor, like: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(x.shape, like.shape), x.dtype)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"align": self.align}

    def _before(self, difference: int | Tensor) -> Tensor:
        return difference // 2 if self.align == "centre" else 0
