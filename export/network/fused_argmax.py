"""Head "fused_argmax": argmax at the resolution of the network's head, then up-sampling.

A network with a stride resizes its scores to the image before the argmax: at 512x512 with 19
classes, 5 million numbers are interpolated and compared. With the argmax before the resize, only a
small class map has to be enlarged, by repeating its cells, which costs next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from keras_seg.inference.keras_runner import first_output
from keras_seg.layers import Resize

ORDER_KEEPING = ("linear", "softmax", "sigmoid")
"""Activations after which the largest score is still the largest."""


@dataclass(frozen=True)
class CoarseScores:
    """A network without its last resize.

    Attributes:
        model: image → scores at the resolution of the head.
        grid: sampling grid of the resize, see `keras_seg.layers.Resize`.
        from_logits: how `model` ends.
    """

    model: keras.Model
    grid: str
    from_logits: bool


def coarse_scores(model: keras.Model, from_logits: bool) -> CoarseScores:
    """The network without its last bilinear resize; unchanged if it ends otherwise.

    Args:
        from_logits: how `model` ends.
    """
    scores, is_logits = first_output(model.output), from_logits
    layer = scores._keras_history.operation
    while _keeps_order(layer):
        is_logits = is_logits or layer.activation.__name__ != "linear"
        scores = layer.input
        layer = scores._keras_history.operation
    if not (isinstance(layer, Resize) and layer.interpolation == "bilinear"):
        return CoarseScores(model, "half_pixel", from_logits)
    scores = keras.tree.flatten(layer.input)[0]  # the second input gives the size
    return CoarseScores(keras.Model(model.inputs, scores), layer.grid, is_logits)


def repeated(classes: tf.Tensor, size: tuple[int, int], grid: str) -> tf.Tensor:
    """Nearest-neighbour up-sampling of a class map: (1, h, w) → (1, *size).

    Two gathers with constant indices, because TFLite has no nearest-neighbour resize of integers.
    Columns come first, while there are few rows.
    """
    for axis in (2, 1):
        before, after = classes.shape[axis], size[axis - 1]
        if before != after:
            classes = tf.gather(classes, nearest_cells(before, after, grid), axis=axis)
    return classes


def nearest_cells(before: int, after: int, grid: str) -> np.ndarray:
    """(after,) int32: the cell nearest to the sampling point of each pixel of a bilinear resize."""
    pixels = np.arange(after)
    positions = {
        "half_pixel": (pixels + 0.5) * before / after - 0.5,
        "align_corners": pixels * (before - 1) / max(after - 1, 1),
        "top_left": pixels * before / after,
    }[grid]
    return np.clip(np.round(positions), 0, before - 1).astype(np.int32)


def _keeps_order(layer: keras.Operation) -> bool:
    return isinstance(layer, keras.layers.Activation) and layer.activation.__name__ in ORDER_KEEPING
