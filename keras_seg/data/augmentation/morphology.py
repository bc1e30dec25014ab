"""Borders of a mask moved by a few pixels, as another hand would have drawn them."""

from __future__ import annotations

import tensorflow as tf

from keras_seg.names import IGNORE_CLASS


def grow_or_shrink(mask, seed, largest: int):
    """Moves the border between class 0 and the others by a drawn -largest .. largest pixels.

    Growing objects take the pixels of class 0 beside them (where two meet, the higher class does),
    shrinking ones leave theirs to class 0. Borders between other classes and pixels of 255 stay.

    Shapes: (H, W) integer → the same.
    """
    steps = tf.random.stateless_uniform((), seed, -largest, largest + 1, tf.int32)
    return change_by(mask, steps)


def change_by(mask, steps):
    """`grow_or_shrink` by a given number of pixels, growing where it is positive."""
    shape = mask.shape

    def one_step(moved):
        known = tf.where(moved == IGNORE_CLASS, tf.zeros_like(moved), moved)
        grown = tf.where(moved == 0, _largest_of_neighbours(known), moved)
        near_background = _largest_of_neighbours(tf.cast(moved == 0, mask.dtype)) > 0
        shrunk = tf.where(near_background & (moved != IGNORE_CLASS), tf.zeros_like(moved), moved)
        return tf.ensure_shape(tf.where(steps > 0, grown, shrunk), shape)

    return tf.while_loop(
        lambda done, _: done < tf.abs(steps), lambda done, m: (done + 1, one_step(m)), (0, mask)
    )[1]


def _largest_of_neighbours(values):
    """The largest of the 3x3 pixels around each, of values of at least 0.

    By shifts: the CPU's pooling takes ten times as long on a single channel.
    """
    for axis in (0, 1):
        padded = tf.pad(values, [[int(axis == 0)] * 2, [int(axis == 1)] * 2])
        before, after = (padded[:-2], padded[2:]) if axis == 0 else (padded[:, :-2], padded[:, 2:])
        values = tf.maximum(tf.maximum(before, after), values)
    return values
