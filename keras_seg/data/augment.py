"""Paired augmentation of one image and its mask in TensorFlow operations.

Every draw comes from a stateless seed, so a sample's augmentation is a function of (seed, epoch,
index) and of nothing that ran before.
"""

from __future__ import annotations

import tensorflow as tf

from keras_seg.data.augmentation import Augmentation
from keras_seg.names import IGNORE_CLASS


def augment(image, mask, seed, crop: tuple[int, int], augmentation: Augmentation):
    """Scales, crops, flips and recolours one sample.

    Shapes: image (H, W, C) in 0..255, mask (H, W) integer → (crop height, crop width, C) float32
    and (crop height, crop width) int32. Where the crop reaches beyond the image, the image is
    black and the mask is 255.

    Args:
        seed: (2,) int32; equal seeds give equal draws.
    """
    seeds = iter(tf.unstack(tf.random.split(seed, 6)))
    image, mask = _scaled_crop(image, mask, next(seeds), next(seeds), crop, augmentation.scale)
    for axis, wanted in ((1, augmentation.flip_horizontal), (0, augmentation.flip_vertical)):
        flip_seed = next(seeds)
        if wanted:
            flip = tf.random.stateless_uniform((), flip_seed) < 0.5
            image = tf.cond(flip, lambda i=image, a=axis: tf.reverse(i, [a]), lambda i=image: i)
            mask = tf.cond(flip, lambda m=mask, a=axis: tf.reverse(m, [a]), lambda m=mask: m)
    return _recolored(image, next(seeds), augmentation), mask


def _scaled_crop(image, mask, scale_seed, offset_seed, crop, scale):
    """Takes the window that fills the crop after magnification, and resizes it.

    Equal to scaling the whole image and cropping, at the cost of the crop alone.
    """
    low, high = map(float, scale)
    channels = image.shape[-1]  # padding by amounts of the graph would forget it
    # log-uniform: halving is drawn as often as doubling
    factor = tf.exp(
        tf.random.stateless_uniform((), scale_seed, tf.math.log(low), tf.math.log(high) + 1e-6)
    )
    window = tf.cast(tf.round(tf.cast(crop, tf.float32) / factor), tf.int32)
    window = tf.maximum(window, 1)
    missing = tf.maximum(window - tf.shape(mask)[:2], 0)
    before = missing // 2
    padding = tf.stack([before, missing - before], axis=1)
    image = tf.pad(image, tf.concat([padding, [[0, 0]]], 0))
    mask = tf.pad(mask, padding, constant_values=IGNORE_CLASS)

    room = tf.cast(tf.shape(mask)[:2] - window + 1, tf.float32)
    offset = tf.cast(tf.random.stateless_uniform((2,), offset_seed) * room, tf.int32)
    image = tf.slice(image, tf.concat([offset, [0]], 0), tf.concat([window, [channels]], 0))
    mask = tf.slice(mask, offset, window)
    image = tf.image.resize(tf.cast(image, tf.float32), crop)
    mask = tf.image.resize(mask[..., None], crop, method="nearest")[..., 0]
    return tf.ensure_shape(image, (*crop, channels)), tf.ensure_shape(mask, crop)


def _recolored(image, seed, augmentation: Augmentation):
    draw = tf.random.stateless_uniform((3,), seed, -1.0, 1.0)
    image = image + draw[0] * augmentation.brightness * 255
    mean = tf.reduce_mean(image)
    image = (image - mean) * (1 + draw[1] * augmentation.contrast) + mean
    if image.shape[-1] == 3 and augmentation.saturation:
        grey = tf.reduce_mean(image, axis=-1, keepdims=True)
        image = grey + (image - grey) * (1 + draw[2] * augmentation.saturation)
    return tf.clip_by_value(image, 0.0, 255.0)
