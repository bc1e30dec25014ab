"""Colour jitter of one image in TensorFlow operations."""

from __future__ import annotations

import tensorflow as tf

from keras_seg.data.augmentation.options import Augmentation


def recolor(image: tf.Tensor, seed: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Changes brightness, contrast, saturation, hue and gamma, in this order.

    Saturation and hue only change in RGB images. Pixels stay in 0..255.

    Shapes: (H, W, C) float32 → the same.
    """
    image = _shifted(image, seed, augmentation)
    image = tf.clip_by_value(image, 0.0, 255.0)
    # Hue and gamma have their own seeds, so that switching one on does not change the others.
    hue_seed, gamma_seed = tf.unstack(tf.random.split(seed, 2))
    if augmentation.hue and image.shape[-1] == 3:
        turn = float(augmentation.hue)
        delta = tf.random.stateless_uniform((), hue_seed, -turn, turn)
        image = tf.clip_by_value(tf.image.adjust_hue(image, delta), 0.0, 255.0)
    if augmentation.gamma:
        largest = tf.math.log(1.0 + augmentation.gamma)
        exponent = tf.exp(tf.random.stateless_uniform((), gamma_seed, -largest, largest))
        image = 255.0 * tf.pow(image / 255.0, exponent)
    return image


def _shifted(image: tf.Tensor, seed: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    """Brightness, contrast and saturation."""
    draw = tf.random.stateless_uniform((3,), seed, -1.0, 1.0)
    image = image + draw[0] * augmentation.brightness * 255
    mean = tf.reduce_mean(image)
    image = (image - mean) * (1 + draw[1] * augmentation.contrast) + mean
    if image.shape[-1] == 3 and augmentation.saturation:
        grey = tf.reduce_mean(image, axis=-1, keepdims=True)
        image = grey + (image - grey) * (1 + draw[2] * augmentation.saturation)
    return image
