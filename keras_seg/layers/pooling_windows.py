"""Windows of a max pooling: splitting a map into them, joining them, picking and placing values.

`split` and `join` are each other's adjoint, and so are `pick` and `unpool`: each is the gradient of
the other. Only the positions are kept for the gradient, one byte per window.

What is fastest in TensorFlow is not fastest in TFLite, so unpooling has two implementations with
the same result. Gradients are never exported, so they may use operators that TFLite lacks. On other
backends pooling selects and unpooling masks, and their own gradients are the right ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_seg.layers.backend import on_tensorflow
from keras_seg.layers.tensors import Tensor, size_of, with_shape

LARGEST = 256
"""Largest number of elements of a window: positions are stored in one byte."""


@dataclass(frozen=True)
class Windows:
    """Height and width of the windows, their strides, and "same" or "valid" as in TensorFlow."""

    size: tuple[int, int]
    strides: tuple[int, int]
    padding: str

    def pooled(self, axis: int, length: int | Tensor) -> int | Tensor:
        """The number of windows along an axis of that length."""
        if self.padding == "same":
            return -(-length // self.strides[axis])
        return (length - self.size[axis]) // self.strides[axis] + 1

    def unpooled(self, axis: int, count: int) -> int | Tensor:
        """The longest axis that "same" pools to that count, or the shortest that "valid" does."""
        if self.padding == "same":
            return count * self.strides[axis]
        return (count - 1) * self.strides[axis] + self.size[axis]

    def split(self, x: Tensor) -> list:
        """(B, H, W, C) → one map (B, h, w, C) per element of the windows, row by row."""
        if self.are_2x2_tiles():
            return _split_squares(self.even(x))
        size = size_of(x)
        spans = [(self.pooled(a, size[a]) - 1) * self.strides[a] + 1 for a in (0, 1)]
        x = _pad(x, ((0, 0), *self._borders(size), (0, 0)), _smallest(x))
        return [
            x[:, i : i + spans[0] : self.strides[0], j : j + spans[1] : self.strides[1]]
            for i in range(self.size[0])
            for j in range(self.size[1])
        ]

    def join(self, maps: list, size: tuple) -> Tensor:
        """Maps of the elements → (B, *size, C); values of several windows at one pixel add up."""
        if self.are_2x2_tiles():
            return _fit(_join_squares(maps), size)
        total = 0
        for element, x in enumerate(maps):
            shifts = zip(divmod(element, self.size[1]), self.size, strict=True)
            pads = [(shift, length - shift) for shift, length in shifts]
            total += _pad(_spread(x, self.strides), ((0, 0), *pads, (0, 0)))
        return self.without_borders(total, size)

    def without_borders(self, x: Tensor, size: tuple) -> Tensor:
        """Cuts the map out of the area that the windows cover → (B, *size, C)."""
        if (
            self.padding == "same" and not self.are_2x2_tiles()
        ):  # 2x2 tiles have no border before the map
            (top, _), (left, _) = self._borders(size)
            x = x[:, top:, left:]
        return _fit(x, size)

    def are_tiles(self) -> bool:
        """Whether the windows cover the map without overlaps or gaps."""
        return self.size == self.strides

    def are_2x2_tiles(self) -> bool:
        """Whether the windows are tiles of 2x2, for which there are faster operators."""
        return self.size == self.strides == (2, 2)

    def even(self, x: Tensor) -> Tensor:
        """Repeats an odd last row or column, or drops it; a copy never comes first among equals."""
        for axis in (1, 2):
            length = size_of(x)[axis - 1]
            odd = length % 2
            if isinstance(odd, int) and not odd:
                continue
            rows = [slice(None)] * axis
            if self.padding == "same":
                x = ops.concatenate([x, x[(*rows, slice(length - odd, None))]], axis)
            else:
                x = x[(*rows, slice(length - odd))]
        return x

    def _borders(self, size: tuple) -> list[tuple]:
        """(before, after) of both axes: TensorFlow's rule, the larger half after."""
        if self.padding == "valid":
            return [(0, 0), (0, 0)]
        borders = []
        for axis, length in enumerate(size):
            count = self.pooled(axis, length)
            needed = (count - 1) * self.strides[axis] + self.size[axis] - length
            needed = _at_least_0(needed)
            borders.append((needed // 2, needed - needed // 2))
        return borders


def max_pool(x: Tensor, windows: Windows) -> tuple[Tensor, Tensor]:
    """(B, H, W, C) → maxima and uint8 positions, (B, h, w, C) each; the first of equals wins."""
    if not on_tensorflow():
        return _selected(windows.split(x))

    @ops.custom_gradient
    def pooled(x: Tensor) -> tuple:
        size = size_of(x)
        maps = windows.split(x)
        best, place = (_best_of_4 if windows.are_2x2_tiles() else _best)(maps)
        place = ops.cast(place, "uint8")  # TFLite computes with int32 but stores uint8
        return (best, place), lambda upstream, _: unpool(upstream, place, size, windows)

    return pooled(x)


def _best_of_4(maps: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Winners of the rows, then of both: narrower comparisons than in `_best`, and no product."""
    a, b, c, d = maps
    upper, lower = ops.maximum(a, b), ops.maximum(c, d)
    in_upper, in_lower = ops.cast(b > a, "int32"), ops.cast(d > c, "int32") + 2
    return ops.maximum(upper, lower), ops.where(lower > upper, in_lower, in_upper)


def _best(maps: list[Tensor]) -> tuple[Tensor, Tensor]:
    best, *others = maps
    place = ops.zeros_like(best, "int32")
    for element, other in enumerate(others, start=1):
        moved = ops.cast(other > best, "int32") * element  # later elements have larger numbers
        place = ops.maximum(place, moved)
        best = ops.maximum(best, other)
    return best, place


def _selected(maps: list[Tensor]) -> tuple[Tensor, Tensor]:
    """As `_best`, by selections: the gradient of a maximum would be shared among equals."""
    best, *others = maps
    place = ops.zeros_like(best, "uint8")
    for element, other in enumerate(others, start=1):
        wins = other > best
        place = ops.where(wins, ops.cast(element, "uint8"), place)
        best = ops.where(wins | ops.isnan(other), other, best)
    return best, place


def unpool(
    values: Tensor, places: Tensor, size: tuple, windows: Windows, *, for_export: bool = False
) -> Tensor:
    """Values and uint8 positions (B, h, w, C) → (B, *size, C) with each value at its position.

    Args:
        for_export: use the implementation for TFLite, where a broadcast of five axes takes ten
            times as long. In TensorFlow the broadcast takes half of the other's time, with XLA a
            quarter.
    """
    place = _by_broadcast if windows.are_tiles() and not for_export else _by_element
    if not on_tensorflow():
        return place(values, places, size, windows)

    @ops.custom_gradient
    def placed(values: Tensor) -> tuple:
        result = place(values, places, size, windows)
        return result, lambda upstream: pick(upstream, places, windows)

    return placed(values)


def _by_element(values: Tensor, places: Tensor, size: tuple, windows: Windows) -> Tensor:
    number = ops.cast(places, "int32")
    zero = ops.zeros((), values.dtype)
    elements = range(windows.size[0] * windows.size[1])
    maps = [ops.where(number == element, values, zero) for element in elements]
    return windows.join(maps, size)


def _by_broadcast(values: Tensor, places: Tensor, size: tuple, windows: Windows) -> Tensor:
    """Compares (B h, 1, w, 1, C) with the element numbers of a window, (1, rows, 1, columns, 1)."""
    (height, width), channels = size_of(values), values.shape[3]
    rows, columns = windows.size
    number = np.arange(rows * columns, dtype="uint8").reshape(1, rows, 1, columns, 1)
    values, places = (ops.reshape(x, (-1, 1, width, 1, channels)) for x in (values, places))
    x = ops.where(places == number, values, ops.zeros((), values.dtype))
    x = ops.reshape(x, (-1, height * rows, width * columns, channels))
    return windows.without_borders(x, size)


def pick(x: Tensor, places: Tensor, windows: Windows) -> Tensor:
    """(B, H, W, C) → (B, h, w, C): the element of each window that `places` names."""
    if windows.are_2x2_tiles():
        return _pick_of_4(windows.even(x), places)
    picked, *others = windows.split(x)
    for element, other in enumerate(others, start=1):
        picked = ops.where(places == np.uint8(element), other, picked)
    return picked


def _pick_of_4(x: Tensor, places: Tensor) -> Tensor:
    """Rows first, because they are contiguous: one selection halves the map."""
    (_, width), channels = size_of(places), places.shape[3]
    is_lower = places > np.uint8(1)
    is_right = (places == np.uint8(1)) | (places == np.uint8(3))
    is_lower = ops.concatenate([is_lower, is_lower], axis=-1)
    upper, lower = ops.split(ops.reshape(x, (-1, 2, width * 2 * channels)), 2, axis=1)
    upper, lower = (ops.reshape(rows, ops.shape(is_lower)) for rows in (upper, lower))
    left, right = ops.split(ops.where(is_lower, lower, upper), 2, axis=-1)
    return ops.where(is_right, right, left)


def scatter(values: Tensor, positions: Tensor, size: tuple) -> Tensor:
    """Values (B, h, w, C) → (B, *size, C) at positions (row * width + column) * C + channel.

    Values at one position add up.
    """
    dtype = _count_type(values, size)
    batch, height, width, channels = shape = [
        n if isinstance(n, int) else ops.cast(n, dtype)
        for n in (ops.shape(values)[0], *size, values.shape[3])
    ]
    length = height * width * channels
    flat = ops.reshape(_in_batch(positions, batch, length, dtype), [-1])
    total = ops.segment_sum(ops.reshape(values, [-1]), flat, batch * length)
    return with_shape(ops.reshape(total, shape), (None, *_known(size), values.shape[3]))


def _count_type(values: Tensor, size: tuple) -> str:
    """int32, which TFLite has, if it can count all values of the batch; otherwise int64."""
    static = (values.shape[0], *_known(size), values.shape[3])
    fits = None not in static and math.prod(static) <= np.iinfo("int32").max
    return "int32" if fits else "int64"


def _in_batch(positions: Tensor, batch: int | Tensor, length: int | Tensor, dtype: str) -> Tensor:
    """Positions (B, h, w, C) in maps of `length` values → positions in the whole batch."""
    starts = ops.reshape(ops.arange(batch, dtype=dtype) * length, (-1, 1, 1, 1))
    return ops.cast(positions, dtype) + starts


def _spread(x: Tensor, strides: tuple[int, int]) -> Tensor:
    """Inserts zeros after each pixel: (B, h, w, C) → (B, h * stride, w * stride, C)."""
    (height, width), channels = size_of(x), x.shape[3]
    rows, columns = strides
    # one axis after the other, because TFLite pads no more than five axes
    x = _pad(x, ((0, 0), (0, 0), (0, 0), (0, (columns - 1) * channels)))
    x = ops.reshape(x, (-1, height, 1, width * columns * channels))
    x = _pad(x, ((0, 0), (0, 0), (0, rows - 1), (0, 0)))
    return ops.reshape(x, (-1, height * rows, width * columns, channels))


def _fit(x: Tensor, size: tuple) -> Tensor:
    """Crops the map, or pads it with zeros, to the size."""
    known = _known(size)
    if None not in known and tuple(x.shape[1:3]) == known:
        return x
    x = x[:, : size[0], : size[1]]
    missing = [
        _at_least_0(target - length) for target, length in zip(size, size_of(x), strict=True)
    ]
    if any(not isinstance(n, int) or n for n in missing):
        x = _pad(x, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)))
    return with_shape(x, (None, *known, x.shape[3]))


def _split_squares(x: Tensor) -> list[Tensor]:
    """(B, 2 h, 2 w, C) → the four maps (B, h, w, C) of the elements of 2x2 windows."""
    if on_tensorflow():
        import tensorflow as tf

        return tf.split(tf.nn.space_to_depth(x, 2), 4, axis=-1)
    return [x[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]


def _join_squares(maps: list[Tensor]) -> Tensor:
    """Inverse of `_split_squares`."""
    if on_tensorflow():
        import tensorflow as tf

        return tf.nn.depth_to_space(tf.concat(maps, axis=-1), 2)
    rows = [ops.stack(pair, axis=3) for pair in (maps[:2], maps[2:])]  # (B, h, w, 2, C)
    (height, width), channels = size_of(maps[0]), maps[0].shape[3]
    return ops.reshape(ops.stack(rows, axis=2), (-1, 2 * height, 2 * width, channels))


def _pad(x: Tensor, widths: tuple, value: float = 0) -> Tensor:
    if on_tensorflow():
        import tensorflow as tf

        return tf.pad(x, widths, constant_values=value)  # names in exported files
    return ops.pad(x, widths, constant_values=value)


def _smallest(x: Tensor) -> float | int:
    """A value that wins against none of the map's values."""
    if on_tensorflow():
        return x.dtype.min  # finite, because an exported file stores it
    dtype = keras.backend.standardize_dtype(x.dtype)
    return int(np.iinfo(dtype).min) if "int" in dtype else -math.inf


def _known(size: tuple) -> tuple:
    """The size with None in the place of tensors."""
    return tuple(n if isinstance(n, int) else None for n in size)


def _at_least_0(n: int | Tensor) -> int | Tensor:
    return max(n, 0) if isinstance(n, int) else ops.maximum(n, 0)
