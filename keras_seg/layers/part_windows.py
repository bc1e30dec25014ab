"""Windows around the parts of a face, computed from a coarse segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_seg.layers.backend import on_tensorflow
from keras_seg.layers.tensors import Shape, Tensor

SHARPNESS = 4
"""Exponent of the probabilities: uncertain pixels far away must not move the centre."""


@keras.saving.register_keras_serializable("keras_seg")
class PartWindows(keras.layers.Layer):
    """A square window around the centre of mass of each part.

    A part without any probability gets a window in the middle of the image.

    Shapes: probabilities (B, h, w, classes), and the image `like` (B, H, W, ...) → windows
    (B, parts, 2, 3) in float32 under every policy, see `CutWindow`.

    Args:
        parts: the classes of each part.
        sides: side of each part's window, in pixels of the image.

    Example:
        probabilities, image = keras.Input((16, 16, 4)), keras.Input((64, 64, 3))
        layer = keras_seg.layers.PartWindows(parts=[[1], [2, 3]], sides=[16, 24])
        windows = layer(probabilities, image)  # (None, 2, 2, 3)
    """

    def __init__(self, parts: Sequence[Sequence[int]], sides: Sequence[int], **base_config: Any):
        super().__init__(autocast=False, **base_config)
        self.parts = [list(part) for part in parts]
        self.sides = list(sides)

    def build(self, probabilities_shape: Shape, like_shape: Shape | None = None) -> None:
        """Has no weights; Keras passes the shapes of the inputs by name."""

    def call(self, probabilities: Tensor, like: Tensor) -> Tensor:
        x = ops.cast(probabilities, "float32")
        mass = ops.stack([_sum([x[..., label] for label in part]) for part in self.parts], axis=-1)
        mass = mass**SHARPNESS
        total = ops.sum(mass, (1, 2)) + 1e-6
        centres = [ops.sum(mass * _coordinates(mass, axis), (1, 2)) / total for axis in (2, 1)]
        sizes = ops.cast(ops.shape(like), "float32")
        sides = ops.convert_to_tensor(self.sides, "float32")
        scales = [ops.zeros_like(total) + sides / sizes[axis] for axis in (2, 1)]
        nothing = ops.zeros_like(total)
        rows = [(scales[0], nothing, centres[0]), (nothing, scales[1], centres[1])]
        return ops.stack([ops.stack(row, axis=-1) for row in rows], axis=-2)

    def compute_output_shape(self, probabilities_shape: Shape, like_shape: Shape) -> Shape:
        return (probabilities_shape[0], len(self.parts), 2, 3)

    def compute_output_spec(self, probabilities: Tensor, like: Tensor) -> keras.KerasTensor:
        shape = self.compute_output_shape(probabilities.shape, like.shape)
        return keras.KerasTensor(shape, "float32")

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"parts": self.parts, "sides": self.sides}


def _sum(maps: list[Tensor]) -> Tensor:
    if on_tensorflow():
        import tensorflow as tf

        return tf.add_n(maps)  # one operator in exported files
    return sum(maps[1:], start=maps[0])


def _coordinates(x: Tensor, axis: int) -> Tensor:
    """Pixel centres along the axis, where -1 and 1 are the outer edges."""
    size = ops.shape(x)[axis]
    values = (2 * ops.arange(size, dtype="float32") + 1) / ops.cast(size, "float32") - 1
    return ops.reshape(values, [-1 if a == axis else 1 for a in range(4)])
