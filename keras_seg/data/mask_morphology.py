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
    """The largest of the 3x3 pixels around each; float32 holds class numbers exactly."""
    pooled = tf.nn.max_pool2d(tf.cast(values, tf.float32)[None, ..., None], 3, 1, "SAME")
    return tf.cast(pooled[0, ..., 0], values.dtype)
