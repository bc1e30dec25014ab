"""Moves the borders in a mask by a few pixels, as another person might have drawn them."""

from __future__ import annotations

import tensorflow as tf

from keras_seg.names import IGNORE_CLASS


def grow_or_shrink(mask: tf.Tensor, seed: tf.Tensor, largest: int) -> tf.Tensor:
    """Moves the border between class 0 and the others by a random number of pixels.

    Growing objects take the neighbouring pixels of class 0; where two meet, the higher class wins.
    Shrinking objects leave pixels to class 0. Borders between other classes, and pixels of 255,
    do not move. Each label of a multi-label mask grows or shrinks by itself.

    Shapes: (H, W) integer, or (H, W, labels) of 0, 1 and 255 → the same.

    Args:
        mask: class of each pixel.
        seed: (2,) int32.
        largest: largest number of pixels in either direction.
    """
    steps = tf.random.stateless_uniform((), seed, -largest, largest + 1, tf.int32)
    return change_by(mask, steps)


def change_by(mask: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
    """Grows objects by a number of pixels, or shrinks them if it is negative."""
    shape = mask.shape

    def one_step(moved: tf.Tensor) -> tf.Tensor:
        known = tf.where(moved == IGNORE_CLASS, tf.zeros_like(moved), moved)
        grown = tf.where(moved == 0, _largest_of_neighbours(known), moved)
        near_background = _largest_of_neighbours(tf.cast(moved == 0, mask.dtype)) > 0
        shrunk = tf.where(near_background & (moved != IGNORE_CLASS), tf.zeros_like(moved), moved)
        return tf.ensure_shape(tf.where(steps > 0, grown, shrunk), shape)

    return tf.while_loop(
        lambda done, _: done < tf.abs(steps), lambda done, m: (done + 1, one_step(m)), (0, mask)
    )[1]


def _largest_of_neighbours(values: tf.Tensor) -> tf.Tensor:
    """The largest of the 3x3 values around each pixel. Values must not be negative.

    Uses shifts, because pooling on CPUs takes ten times as long for a single channel.
    """
    for axis in (0, 1):
        padding = [[int(axis == each)] * 2 for each in range(values.shape.rank)]
        padded = tf.pad(values, padding)
        before, after = (padded[:-2], padded[2:]) if axis == 0 else (padded[:, :-2], padded[:, 2:])
        values = tf.maximum(tf.maximum(before, after), values)
    return values
