"""Pooling indices as logical masks, one per element of a window.

A position is a number, which an integer file counts in int32 and casts to a byte. Accelerators run
neither: such numbers have no scale. Masks say the same with comparisons and logical operators, and
a mask selects a value as it is. All numbers stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_seg.layers import MaxPoolingWithIndices2D, MaxUnpooling2D
from keras_seg.layers.pooling_windows import Windows
from keras_seg.layers.tensors import Tensor


class _MaskLayer(keras.layers.Layer):
    """Base of both layers: the configuration of the layer that it replaces."""

    def __init__(
        self,
        pool_size: Sequence[int],  # two numbers each, lists in a configuration from JSON
        strides: Sequence[int],
        padding: str,
        **base_config: Any,
    ):
        super().__init__(**base_config)
        (rows, columns), (below, beside) = pool_size, strides
        self.windows = Windows((rows, columns), (below, beside), padding)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "pool_size": self.windows.size,
            "strides": self.windows.strides,
            "padding": self.windows.padding,
        }


class MaxPoolingWithMasks2D(_MaskLayer):
    """Max pooling that also returns a mask per element of its windows.

    Shapes: (B, H, W, C) → [maxima, mask of element 0, mask of element 1, ...], (B, h, w, C) each.
    """

    def call(self, x: Tensor) -> list[Tensor]:
        maps = self.windows.split(x)
        pooled = _best_of_4 if self.windows.are_2x2_tiles() else _best
        best, masks = pooled(maps)
        return [best, *masks]


class MaxUnpoolingWithMasks2D(_MaskLayer):
    """Writes each value to the element of the window whose mask is true, and zero elsewhere.

    Shapes: values and masks (B, h, w, C) → (B, H, W, C), the size of `like` or, without it, the
    size that `MaxUnpooling2D` gives.
    """

    def build(self, *shapes: Any) -> None:
        """Has no weights."""

    def call(self, values: Tensor, masks: list[Tensor], like: Tensor | None = None) -> Tensor:
        zero = ops.zeros((), values.dtype)
        maps = [ops.where(mask, values, zero) for mask in masks]
        size = (values if like is None else like).shape[1:3]
        if like is None:
            size = [self.windows.unpooled(axis, count) for axis, count in enumerate(size)]
        return self.windows.join(maps, tuple(size))


def _best_of_4(maps: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Maxima and masks of windows of 2x2: the winners of both rows, then of the window."""
    a, b, c, d = maps
    upper, lower = ops.maximum(a, b), ops.maximum(c, d)
    is_lower, right_above, right_below = lower > upper, b > a, d > c
    is_upper = ops.logical_not(is_lower)
    masks = [
        ops.logical_and(is_upper, ops.logical_not(right_above)),
        ops.logical_and(is_upper, right_above),
        ops.logical_and(is_lower, ops.logical_not(right_below)),
        ops.logical_and(is_lower, right_below),
    ]
    return ops.maximum(upper, lower), masks


def _best(maps: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Maxima and masks of any windows: an element wins if no later one is larger."""
    best, *others = maps
    wins = []
    for other in others:
        wins.append(other > best)
        best = ops.maximum(best, other)
    masks, none_later = [], None
    for win in reversed(wins):
        masks.append(win if none_later is None else ops.logical_and(win, none_later))
        loses = ops.logical_not(win)
        none_later = loses if none_later is None else ops.logical_and(loses, none_later)
    return best, [none_later, *reversed(masks)]


def masks_in_place_of(layer: keras.layers.Layer) -> keras.layers.Layer | None:
    """The layer with masks that replaces a layer with pooling indices; None for other layers."""
    replacements = {
        MaxPoolingWithIndices2D: MaxPoolingWithMasks2D,
        MaxUnpooling2D: MaxUnpoolingWithMasks2D,
    }
    kind = replacements.get(type(layer))
    return kind and kind.from_config(layer.get_config())


class MaskCalls:
    """Calls layers of a copy, and passes the masks of a pooling to its unpooling.

    The network that is copied has one tensor of positions. In the copy the first mask stands for
    all masks until an unpooling takes them.
    """

    def __init__(self) -> None:
        self._masks: dict[int, list[Tensor]] = {}

    def __call__(self, layer: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, MaxUnpoolingWithMasks2D):
            args, kwargs = keras.tree.map_structure(
                lambda value: self._masks.get(id(value), value), (args, kwargs)
            )
            if len(args) == 1:  # values and positions as a list
                args = tuple(args[0])
        outputs = layer(*args, **kwargs)
        if isinstance(layer, MaxPoolingWithMasks2D):
            maxima, *masks = outputs
            self._masks[id(masks[0])] = masks
            return maxima, masks[0]
        return outputs
