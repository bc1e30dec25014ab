"""Windows of a max pooling: splitting a map into them, joining them, picking and placing values.

`split` and `join` are each other's adjoint, and so are `pick` and `unpool`: each is the gradient of
the other. Only the positions are kept for the gradient, one byte per window.

What is fastest in TensorFlow is not fastest in TFLite, so unpooling has two implementations with
the same result. Gradients are never exported, so they may use operators that TFLite lacks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from keras_seg.layers.tensors import Tensor

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
            return tf.split(tf.nn.space_to_depth(self.even(x), 2), 4, axis=-1)
        size = _size(x)
        spans = [(self.pooled(a, size[a]) - 1) * self.strides[a] + 1 for a in (0, 1)]
        x = tf.pad(x, ((0, 0), *self._borders(size), (0, 0)), constant_values=x.dtype.min)
        return [
            x[:, i : i + spans[0] : self.strides[0], j : j + spans[1] : self.strides[1]]
            for i in range(self.size[0])
            for j in range(self.size[1])
        ]

    def join(self, maps: list, size: tuple) -> Tensor:
        """Maps of the elements → (B, *size, C); values of several windows at one pixel add up."""
        if self.are_2x2_tiles():
            return _fit(tf.nn.depth_to_space(tf.concat(maps, axis=-1), 2), size)
        total = 0
        for element, x in enumerate(maps):
            shifts = zip(divmod(element, self.size[1]), self.size, strict=True)
            pads = [(shift, length - shift) for shift, length in shifts]
            total += tf.pad(_spread(x, self.strides), ((0, 0), *pads, (0, 0)))
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
            length = _size(x)[axis - 1]
            odd = length % 2
            if isinstance(odd, int) and not odd:
                continue
            rows = [slice(None)] * axis
            if self.padding == "same":
                x = tf.concat([x, x[(*rows, slice(length - odd, None))]], axis)
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

    @tf.custom_gradient
    def pooled(x):
        size = _size(x)
        maps = windows.split(x)
        best, place = (_best_of_4 if windows.are_2x2_tiles() else _best)(maps)
        place = tf.cast(place, tf.uint8)  # TFLite computes with int32 but stores uint8
        return (best, place), lambda upstream, _: unpool(upstream, place, size, windows)

    return pooled(x)


def _best_of_4(maps: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Winners of the rows, then of both: narrower comparisons than in `_best`, and no product."""
    a, b, c, d = maps
    upper, lower = tf.maximum(a, b), tf.maximum(c, d)
    in_upper, in_lower = tf.cast(b > a, tf.int32), tf.cast(d > c, tf.int32) + 2
    return tf.maximum(upper, lower), tf.where(lower > upper, in_lower, in_upper)


def _best(maps: list[Tensor]) -> tuple[Tensor, Tensor]:
    best, *others = maps
    place = tf.zeros_like(best, tf.int32)
    for element, other in enumerate(others, start=1):
        moved = tf.cast(other > best, tf.int32) * element  # later elements have larger numbers
        place = tf.maximum(place, moved)
        best = tf.maximum(best, other)
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

    @tf.custom_gradient
    def placed(values):
        result = place(values, places, size, windows)
        return result, lambda upstream: pick(upstream, places, windows)

    return placed(values)


def _by_element(values: Tensor, places: Tensor, size: tuple, windows: Windows) -> Tensor:
    number = tf.cast(places, tf.int32)
    zero = tf.zeros((), values.dtype)
    elements = range(windows.size[0] * windows.size[1])
    maps = [tf.where(tf.equal(number, element), values, zero) for element in elements]
    return windows.join(maps, size)


def _by_broadcast(values: Tensor, places: Tensor, size: tuple, windows: Windows) -> Tensor:
    """Compares (B h, 1, w, 1, C) with the element numbers of a window, (1, rows, 1, columns, 1)."""
    (height, width), channels = _size(values), values.shape[3]
    rows, columns = windows.size
    number = np.arange(rows * columns, dtype="uint8").reshape(1, rows, 1, columns, 1)
    values, places = (tf.reshape(x, (-1, 1, width, 1, channels)) for x in (values, places))
    x = tf.where(tf.equal(places, number), values, tf.zeros((), values.dtype))
    x = tf.reshape(x, (-1, height * rows, width * columns, channels))
    return windows.without_borders(x, size)


def pick(x: Tensor, places: Tensor, windows: Windows) -> Tensor:
    """(B, H, W, C) → (B, h, w, C): the element of each window that `places` names."""
    if windows.are_2x2_tiles():
        return _pick_of_4(windows.even(x), places)
    picked, *others = windows.split(x)
    for element, other in enumerate(others, start=1):
        picked = tf.where(tf.equal(places, tf.constant(element, places.dtype)), other, picked)
    return picked


def _pick_of_4(x: Tensor, places: Tensor) -> Tensor:
    """Rows first, because they are contiguous: one selection halves the map."""
    (_, width), channels = _size(places), places.shape[3]
    is_lower = places > np.uint8(1)
    is_right = tf.equal(places, np.uint8(1)) | tf.equal(places, np.uint8(3))
    is_lower = tf.concat([is_lower, is_lower], axis=-1)
    upper, lower = tf.split(tf.reshape(x, (-1, 2, width * 2 * channels)), 2, axis=1)
    upper, lower = (tf.reshape(rows, tf.shape(is_lower)) for rows in (upper, lower))
    left, right = tf.split(tf.where(is_lower, lower, upper), 2, axis=-1)
    return tf.where(is_right, right, left)


def scatter(values: Tensor, positions: Tensor, size: tuple) -> Tensor:
    """Values (B, h, w, C) → (B, *size, C) at positions (row * width + column) * C + channel.

    Values at one position add up.
    """
    batch, channels = tf.shape(values)[0], tf.shape(values)[3]
    shape = [tf.cast(n, _count_type(values, size)) for n in (batch, *size, channels)]
    length = tf.reduce_prod(shape[1:])
    flat = tf.reshape(_in_batch(positions, shape[0], length), [-1])
    total = tf.math.unsorted_segment_sum(tf.reshape(values, [-1]), flat, shape[0] * length)
    return tf.ensure_shape(tf.reshape(total, shape), (None, *_known(size), values.shape[3]))


def _count_type(values: Tensor, size: tuple) -> tf.DType:
    """int32, which TFLite has, if it can count all values of the batch; otherwise int64."""
    static = (values.shape[0], *_known(size), values.shape[3])
    return tf.int32 if None not in static and math.prod(static) <= tf.int32.max else tf.int64


def _in_batch(positions: Tensor, batch: int | Tensor, length: int | Tensor) -> Tensor:
    """Positions (B, h, w, C) in maps of `length` values → positions in the whole batch."""
    starts = tf.reshape(tf.range(batch) * length, (-1, 1, 1, 1))
    return tf.cast(positions, starts.dtype) + starts


def _spread(x: Tensor, strides: tuple[int, int]) -> Tensor:
    """Inserts zeros after each pixel: (B, h, w, C) → (B, h * stride, w * stride, C)."""
    (height, width), channels = _size(x), x.shape[3]
    rows, columns = strides
    # one axis after the other, because TFLite pads no more than five axes
    x = tf.pad(x, ((0, 0), (0, 0), (0, 0), (0, (columns - 1) * channels)))
    x = tf.reshape(x, (-1, height, 1, width * columns * channels))
    x = tf.pad(x, ((0, 0), (0, 0), (0, rows - 1), (0, 0)))
    return tf.reshape(x, (-1, height * rows, width * columns, channels))


def _fit(x: Tensor, size: tuple) -> Tensor:
    """Crops the map, or pads it with zeros, to the size."""
    known = _known(size)
    if None not in known and tuple(x.shape[1:3]) == known:
        return x
    x = x[:, : size[0], : size[1]]
    missing = [_at_least_0(target - found) for target, found in zip(size, _size(x), strict=True)]
    if any(not isinstance(n, int) or n for n in missing):
        x = tf.pad(x, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)))
    return tf.ensure_shape(x, (None, *known, None))


def _size(x: Tensor) -> tuple:
    """Height and width, as numbers where they are known."""
    if x.shape[1:3].is_fully_defined():
        return tuple(x.shape[1:3])
    dynamic = tf.shape(x)
    return tuple(dynamic[a] if x.shape[a] is None else x.shape[a] for a in (1, 2))


def _known(size: tuple) -> tuple:
    """The size with None in the place of tensors."""
    return tuple(n if isinstance(n, int) else None for n in size)


def _at_least_0(n: int | Tensor) -> int | Tensor:
    return max(n, 0) if isinstance(n, int) else tf.maximum(n, 0)
