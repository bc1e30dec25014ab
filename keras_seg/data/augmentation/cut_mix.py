"""CutMix for segmentation: pastes a rectangle of another image of the batch, with its mask."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def cut_mix(images: Any, masks: Any, seed: Any, probability: float, weights: Any = None) -> tuple:
    """Pastes a rectangle of the next image of the batch into each image, with its mask.

    The area of the rectangle is uniform in 0..1 of the image, its sides have the proportions of the
    image, and its centre is uniform, so the edge may cut it (Yun et al., arXiv:1905.04899). Labels
    stay hard, because every pixel keeps its class. The last image takes from the first.

    Shapes: images (B, H, W, C), masks (B, H, W) or of labels (B, H, W, labels), weights (B, H, W)
    or None → the same.

    Args:
        images: the images.
        masks: class of each pixel.
        seed: (2,) int32. Equal seeds give equal results.
        probability: probability that an image gets a rectangle.
        weights: a weight for each pixel, or None.

    Returns: images and masks, and weights if they were given.

    Example:

        mixed = batches.map(lambda x, y: keras_seg.data.cut_mix(x, y, (0, 1), 0.5))
    """
    batch, height, width = (tf.shape(masks)[axis] for axis in range(3))
    choice_seed, share_seed, place_seed = tf.unstack(tf.random.split(seed, 3))
    chosen = tf.random.stateless_uniform((batch,), choice_seed) < probability
    side = tf.sqrt(tf.random.stateless_uniform((batch,), share_seed))
    centre = tf.random.stateless_uniform((2, batch), place_seed)

    def inside(length: tf.Tensor, middle: tf.Tensor) -> tf.Tensor:
        """(B, length): whether a row or column is inside the rectangle of each image."""
        place = (tf.range(length, dtype=tf.float32) + 0.5) / tf.cast(length, tf.float32)
        return tf.abs(place[None] - middle[:, None]) < side[:, None] / 2

    pasted = inside(height, centre[0])[:, :, None] & inside(width, centre[1])[:, None, :]
    pasted &= chosen[:, None, None]

    def mixed(values: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
        return tf.where(where, tf.roll(values, -1, axis=0), values)

    of_masks = pasted[..., None] if len(masks.shape) == 4 else pasted
    result = (mixed(images, pasted[..., None]), mixed(masks, of_masks))
    return result if weights is None else (*result, mixed(weights, pasted))
