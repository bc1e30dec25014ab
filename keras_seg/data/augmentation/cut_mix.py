"""CutMix for segmentation: a rectangle of another image of the batch, with its mask."""

from __future__ import annotations

import tensorflow as tf


def cut_mix(images, masks, seed, probability: float, weights=None) -> tuple:
    """Pastes into each image, with `probability`, a rectangle of its successor in the batch.

    The share of the rectangle is uniform in 0..1, its sides have the image's proportions and its
    centre is uniform, so it may be cut by the edge (Yun et al., arXiv:1905.04899, with labels that
    stay hard: every pixel brings its own class). The last image takes from the first.

    Shapes: images (B, H, W, C), masks (B, H, W), weights (B, H, W) or None → the same; weights are
    returned as a third value if given.

    Args:
        seed: (2,) int32; equal seeds give equal draws.
    """
    batch, height, width = (tf.shape(masks)[axis] for axis in range(3))
    wanted_seed, share_seed, place_seed = tf.unstack(tf.random.split(seed, 3))
    wanted = tf.random.stateless_uniform((batch,), wanted_seed) < probability
    side = tf.sqrt(tf.random.stateless_uniform((batch,), share_seed))
    centre = tf.random.stateless_uniform((2, batch), place_seed)

    def inside(length, middle):
        """(B, length): whether a row or column lies in the rectangle of each image."""
        place = (tf.range(length, dtype=tf.float32) + 0.5) / tf.cast(length, tf.float32)
        return tf.abs(place[None] - middle[:, None]) < side[:, None] / 2

    pasted = inside(height, centre[0])[:, :, None] & inside(width, centre[1])[:, None, :]
    pasted &= wanted[:, None, None]

    def mixed(values, where):
        return tf.where(where, tf.roll(values, -1, axis=0), values)

    result = (mixed(images, pasted[..., None]), mixed(masks, pasted))
    return result if weights is None else (*result, mixed(weights, pasted))
