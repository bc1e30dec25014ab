"""Paired augmentation of one image and its mask in TensorFlow operations.

All random numbers come from stateless seeds, so the augmentation of a sample depends only on (seed,
epoch, index).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_seg.data.augmentation import warp
from keras_seg.data.augmentation.morphology import grow_or_shrink
from keras_seg.data.augmentation.options import Augmentation
from keras_seg.data.augmentation.recolor import recolor
from keras_seg.names import IGNORE_CLASS


def augment(
    image: Any,
    mask: Any,
    seed: Any,
    crop: tuple[int, int],
    augmentation: Augmentation,
    weights: Any = None,
    *,
    mirrored: Sequence[int] = (),
) -> tuple:
    """Scales, rotates, warps, crops, flips and recolours one sample.

    Where the crop extends beyond the image, the image is black and the mask is 255. Images are
    interpolated bilinearly, masks by the nearest pixel. `augmentation.cut_mix` needs a batch, see
    `keras_seg.data.cut_mix`.

    Shapes: image (H, W, C) in 0..255, mask (H, W) integer → (crop height, crop width, C) float32
    and (crop height, crop width) of the mask's type. A multi-label mask (H, W, labels) → (crop
    height, crop width, labels).

    Args:
        image: the image.
        mask: class of each pixel, or its labels of 0, 1 and 255.
        seed: (2,) int32. Equal seeds give equal results.
        crop: (height, width) in pixels.
        augmentation: the options.
        weights: (H, W) of any type, such as a weight or an instance number for each pixel. It is
            transformed like the mask; new area gets 0.
        mirrored: the new number of each class if the image is mirrored left to right
            (`ClassTable.mirrored`); by default all classes keep their number.

    Returns: image and mask, and weights if they were given.

    Example:

        sample = keras_seg.data.open_dataset("builtin:cells")[0]
        image, mask = keras_seg.data.augment(
            sample.image, sample.mask, (0, 1), (64, 64), keras_seg.data.Augmentation()
        )
    """
    scale_seed, offset_seed, *flip_seeds, colour_seed, warp_seed, mask_seed = tf.unstack(
        tf.random.split(seed, 7)
    )
    mask = tf.convert_to_tensor(mask)
    maps, fills = [mask], [IGNORE_CLASS]
    if weights is not None:
        maps, fills = [mask, tf.convert_to_tensor(weights)], [IGNORE_CLASS, 0]
    factor = _factor(scale_seed, augmentation.scale)
    if augmentation.rotation or augmentation.elastic:
        positions = _warped_positions(mask, offset_seed, warp_seed, crop, factor, augmentation)
        channels = image.shape[-1]
        (image, *maps), positions = warp.needed_part([image, *maps], positions)
        image = tf.ensure_shape(warp.sample_image(image, positions), (*crop, channels))
        maps = [warp.sample_map(m, positions, fill) for m, fill in zip(maps, fills, strict=True)]
    else:
        image, maps = _scaled_crop(image, maps, fills, offset_seed, crop, factor)
    moved = [image, *maps]
    for axis, flips in ((1, augmentation.flip_horizontal), (0, augmentation.flip_vertical)):
        if flips:
            swap = mirrored if axis == 1 and tuple(mirrored) != tuple(range(len(mirrored))) else ()
            moved = _flipped(moved, axis, flip_seeds[1 - axis], swap)
    image, mask, *rest = moved
    if augmentation.mask_morphology:
        mask = grow_or_shrink(mask, mask_seed, augmentation.mask_morphology)
    return recolor(image, colour_seed, augmentation), mask, *rest


def _factor(seed: tf.Tensor, scale: tuple[float, float]) -> tf.Tensor:
    """A log-uniform factor: halving is as likely as doubling."""
    low, high = map(float, scale)
    return tf.exp(tf.random.stateless_uniform((), seed, tf.math.log(low), tf.math.log(high) + 1e-6))


def _scaled_crop(
    image: Any,
    maps: list,
    fills: list[int],
    offset_seed: tf.Tensor,
    crop: tuple[int, int],
    factor: tf.Tensor,
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Cuts out the window that fills the crop after magnification, and resizes it.

    The result equals scaling the whole image and cropping, but only the crop is computed.
    """
    channels = image.shape[-1]  # padding by dynamic amounts loses the static shape
    size = tf.shape(maps[0])[:2]
    window = tf.cast(tf.round(tf.cast(crop, tf.float32) / factor), tf.int32)
    window = tf.maximum(window, 1)
    missing = tf.maximum(window - size, 0)
    before = missing // 2
    padding = tf.stack([before, missing - before], axis=1)
    room = tf.cast(size + missing - window + 1, tf.float32)
    offset = tf.cast(tf.random.stateless_uniform((2,), offset_seed) * room, tf.int32)

    image = tf.pad(image, tf.concat([padding, [[0, 0]]], 0))
    image = tf.slice(image, tf.concat([offset, [0]], 0), tf.concat([window, [channels]], 0))
    image = tf.image.resize(tf.cast(image, tf.float32), crop)
    moved = []
    for values, fill in zip(maps, fills, strict=True):
        planes = values if values.shape.rank == 3 else values[..., None]
        fill = tf.cast(fill, values.dtype)
        padded = tf.pad(planes, tf.concat([padding, [[0, 0]]], 0), constant_values=fill)
        depth = planes.shape[-1]
        part = tf.slice(padded, tf.concat([offset, [0]], 0), tf.concat([window, [depth]], 0))
        part = tf.ensure_shape(tf.image.resize(part, crop, method="nearest"), (*crop, depth))
        moved.append(part if values.shape.rank == 3 else part[..., 0])
    return tf.ensure_shape(image, (*crop, channels)), moved


def _warped_positions(
    mask: Any,
    offset_seed: tf.Tensor,
    warp_seed: tf.Tensor,
    crop: tuple[int, int],
    factor: tf.Tensor,
    augmentation: Augmentation,
) -> tf.Tensor:
    """Scale, rotation and warp as one map of positions, so that pixels are interpolated once."""
    turn_seed, bend_seed = tf.unstack(tf.random.split(warp_seed, 2))
    turn = float(augmentation.rotation)
    displacement = None
    if augmentation.elastic:
        displacement = warp.elastic_displacement(
            bend_seed, crop, deviation=augmentation.elastic, grid=augmentation.elastic_grid
        )
    return warp.crop_positions(
        tf.shape(mask)[:2],
        crop,
        centre=tf.random.stateless_uniform((2,), offset_seed),
        factor=factor,
        degrees=tf.random.stateless_uniform((), turn_seed, -turn, turn),
        displacement=displacement,
    )


def _flipped(moved: list, axis: int, seed: tf.Tensor, mirrored: Sequence[int]) -> list:
    """Mirrors image and maps, or none of them. Left and right classes of the mask are swapped.

    In a multi-label mask the channels of left and right labels are swapped.
    """

    def reverse() -> list:
        image, mask, *rest = (tf.reverse(m, [axis]) for m in moved)
        if mirrored and mask.shape.rank == 3:
            mask = tf.gather(mask, mirrored, axis=-1)
        elif mirrored:
            classes = [*mirrored, *range(len(mirrored), IGNORE_CLASS + 1)]
            mask = tf.gather(tf.constant(classes, mask.dtype), tf.cast(mask, tf.int32))
        return [image, mask, *rest]

    flip = tf.random.stateless_uniform((), seed) < 0.5
    return list(tf.cond(flip, reverse, lambda: moved))
