"""Cropping and zero padding to the size of another map."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_seg.layers.tensors import Shape, Tensor, size_of, with_shape

ALIGNMENTS = ("centre", "top_left")
NO_PADDING = (0, 0)


@keras.saving.register_keras_serializable("keras_seg")
class CropOrPad(keras.layers.Layer):
    """Crops a map, or pads it with zeros, to the height and width of another tensor.

    Shapes: called with `like` of (B, H', W', ...): (B, H, W, C) → (B, H', W', C).

    Args:
        align: "centre" splits the difference between both sides; an odd pixel goes below and to the
            right. "top_left" crops and pads below and to the right only.

    Raises:
        ValueError: unknown alignment.

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
        """The layer has no weights; Keras passes the shapes of the inputs by name."""

    def call(self, x: Tensor, like: Tensor) -> Tensor:
        static = self.compute_output_shape(x.shape, like.shape)
        paddings: list[tuple] = [NO_PADDING] * 4
        for axis, size, target in zip((1, 2), size_of(x), size_of(like), strict=True):
            known = None not in (x.shape[axis], static[axis])
            if known and size == target:
                continue
            larger = max if known else ops.maximum
            surplus, missing = larger(size - target, 0), larger(target - size, 0)
            cut, before = self._before(surplus), self._before(missing)
            kept = slice(cut, cut + target)
            x = x[:, kept] if axis == 1 else x[:, :, kept]
            paddings[axis] = (before, missing - before)
        if any(padding is not NO_PADDING for padding in paddings):
            x = ops.pad(x, paddings)
        return with_shape(x, static)

    def compute_output_shape(self, x_shape: Shape, like_shape: Shape) -> Shape:
        return (x_shape[0], like_shape[1], like_shape[2], x_shape[3])

    def compute_output_spec(self, x: Tensor, like: Tensor) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(x.shape, like.shape), x.dtype)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"align": self.align}

    def _before(self, difference: int | Tensor) -> Tensor:
        return difference // 2 if self.align == "centre" else 0
