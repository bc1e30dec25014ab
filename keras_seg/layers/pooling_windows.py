"""The windows of a max pooling, and the maps between an image and their elements.

`split` and `join` are each other's adjoint, and so are picking by place and unpooling: the
gradients below say just that. All that they keep are the places, a byte a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

LARGEST = 256
"""Elements of a window whose place fits in a byte."""


@dataclass(frozen=True)
class Windows:
    """Height and width of the windows, their strides, and "same" or "valid" as in TensorFlow."""

    size: tuple[int, int]
    strides: tuple[int, int]
    padding: str

    def pooled(self, axis: int, length):
        """How many windows lie along an axis of that length."""
        if self.padding == "same":
            return -(-length // self.strides[axis])
        return (length - self.size[axis]) // self.strides[axis] + 1

    def unpooled(self, axis: int, count):
        """The longest axis that "same" pools to that count, the shortest that "valid" does."""
        if self.padding == "same":
            return count * self.strides[axis]
        return (count - 1) * self.strides[axis] + self.size[axis]

    def split(self, x) -> list:
        """(B, H, W, C) → for each element of the windows, row by row, its map (B, h, w, C)."""
        if self._are_2x2_tiles():
            return tf.split(tf.nn.space_to_depth(self._even(x), 2), 4, axis=-1)
        size = _size(x)
        spans = [(self.pooled(a, size[a]) - 1) * self.strides[a] + 1 for a in (0, 1)]
        x = tf.pad(x, ((0, 0), *self._borders(size), (0, 0)), constant_values=x.dtype.min)
        return [
            x[:, i : i + spans[0] : self.strides[0], j : j + spans[1] : self.strides[1]]
            for i in range(self.size[0])
            for j in range(self.size[1])
        ]

    def join(self, maps: list, size):
        """Maps of the elements → (B, *size, C); what several of them write to a pixel adds up."""
        if self._are_2x2_tiles():
            return _fit(tf.nn.depth_to_space(tf.concat(maps, axis=-1), 2), size)
        total = 0
        for element, x in enumerate(maps):
            shifts = zip(divmod(element, self.size[1]), self.size, strict=True)
            pads = [(shift, length - shift) for shift, length in shifts]
            total += tf.pad(_spread(x, self.strides), ((0, 0), *pads, (0, 0)))
        (top, _), (left, _) = self._borders(size)
        return _fit(total[:, top:, left:], size)

    def _are_2x2_tiles(self) -> bool:
        return self.size == self.strides == (2, 2)

    def _even(self, x):
        """Repeats an odd last row or column, or drops it: a copy never comes first among equals."""
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

    def _borders(self, size) -> list[tuple]:
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


def max_pool(x, windows: Windows):
    """(B, H, W, C) → maxima and uint8 places, (B, h, w, C) each; the first of equals wins."""

    @tf.custom_gradient
    def pooled(x):
        size = _size(x)
        first, *others = windows.split(x)
        best, place = first, None
        for element, other in enumerate(others, start=1):
            better = other > best
            moved = tf.cast(better, tf.int32) * element  # later elements have larger numbers
            place = moved if place is None else tf.maximum(place, moved)
            best = tf.maximum(best, other)
        # TFLite computes with int32 and keeps uint8
        place = tf.zeros_like(best, tf.uint8) if place is None else tf.cast(place, tf.uint8)
        return (best, place), lambda upstream, _: unpool(upstream, place, size, windows)

    return pooled(x)


def unpool(values, places, size, windows: Windows):
    """Values and uint8 places (B, h, w, C) → (B, *size, C) with each value at its place."""

    @tf.custom_gradient
    def placed(values):
        number = tf.cast(places, tf.int32)
        zero = tf.zeros((), values.dtype)
        elements = range(windows.size[0] * windows.size[1])
        maps = [tf.where(tf.equal(number, element), values, zero) for element in elements]
        return windows.join(maps, size), lambda upstream: pick(upstream, places, windows)

    return placed(values)


def pick(x, places, windows: Windows):
    """(B, H, W, C) → (B, h, w, C): of each window the element that `places` names."""
    picked, *others = windows.split(x)
    for element, other in enumerate(others, start=1):
        picked = tf.where(tf.equal(places, tf.constant(element, places.dtype)), other, picked)
    return picked


def scatter(values, positions, size):
    """Values (B, h, w, C) → (B, *size, C) at positions (row * width + column) * C + channel.

    Values at one position add up.
    """
    batch, channels = tf.shape(values)[0], tf.shape(values)[3]
    length = size[0] * size[1] * channels
    starts = tf.reshape(tf.range(batch) * length, (-1, 1, 1, 1))
    flat = tf.reshape(tf.cast(positions, tf.int32) + starts, [-1])
    total = tf.math.unsorted_segment_sum(tf.reshape(values, [-1]), flat, batch * length)
    return tf.ensure_shape(
        tf.reshape(total, (batch, *size, channels)), (None, *_known(size), values.shape[3])
    )


def _spread(x, strides):
    """Puts zeros behind each pixel: (B, h, w, C) → (B, h * stride, w * stride, C)."""
    (height, width), channels = _size(x), x.shape[3]
    rows, columns = strides
    x = tf.reshape(x, (-1, height, 1, width, 1, channels))
    x = tf.pad(x, ((0, 0), (0, 0), (0, rows - 1), (0, 0), (0, columns - 1), (0, 0)))
    return tf.reshape(x, (-1, height * rows, width * columns, channels))


def _fit(x, size):
    """Cuts off, or adds as zeros, what height and width have too much or too little."""
    known = _known(size)
    if None not in known and tuple(x.shape[1:3]) == known:
        return x
    x = x[:, : size[0], : size[1]]
    missing = [_at_least_0(target - found) for target, found in zip(size, _size(x), strict=True)]
    if any(not isinstance(n, int) or n for n in missing):
        x = tf.pad(x, ((0, 0), (0, missing[0]), (0, missing[1]), (0, 0)))
    return tf.ensure_shape(x, (None, *known, None))


def _size(x) -> tuple:
    """Height and width, as numbers where they are known."""
    dynamic = None if x.shape[1:3].is_fully_defined() else tf.shape(x)
    return tuple(dynamic[a] if x.shape[a] is None else x.shape[a] for a in (1, 2))


def _known(size) -> tuple:
    """A size whose numbers stay and whose tensors are None."""
    return tuple(n if isinstance(n, int) else None for n in size)


def _at_least_0(n):
    return max(n, 0) if isinstance(n, int) else tf.maximum(n, 0)
