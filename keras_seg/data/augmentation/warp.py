"""Interpolates images and masks at positions between pixels, in TensorFlow operations."""

from __future__ import annotations

import math

import tensorflow as tf


def sample_image(image: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """Interpolates an image bilinearly; beyond its edge it is black.

    Shapes: image (H, W, C), positions (h, w, 2) as (row, column) where (0, 0) is the centre of the
    first pixel → (h, w, C) float32.
    """
    size = tf.shape(image)[:2]
    # A border of one black pixel represents everything beyond the edge.
    padded = tf.pad(image, ((1, 1), (1, 1), (0, 0)))
    pixels = tf.reshape(padded, (-1, image.shape[-1]))
    positions = tf.clip_by_value(positions, -1.0, tf.cast(size, tf.float32)) + 1.0
    # The last row and column have no successor; their weight on it is 0.
    corner = tf.minimum(tf.cast(positions, tf.int32), size)
    part = positions - tf.cast(corner, tf.float32)
    row, column = part[..., :1], part[..., 1:]
    width = size[1] + 2
    first = corner[..., 0] * width + corner[..., 1]

    def at(offset: int) -> tf.Tensor:
        return tf.cast(tf.gather(pixels, first + offset), tf.float32)

    above, below = at(0), at(width)
    above += (at(1) - above) * column
    below += (at(width + 1) - below) * column
    return above + (below - above) * row


def sample_map(values: tf.Tensor, positions: tf.Tensor, fill: int) -> tf.Tensor:
    """Takes the value of the nearest pixel, or `fill` beyond the edge. Keeps the type.

    Shapes: values (H, W) or (H, W, n), positions (h, w, 2) → (h, w) or (h, w, n).
    """
    size = tf.shape(values)[:2]
    nearest = tf.cast(tf.floor(positions + 0.5), tf.int32)
    nearest = tf.clip_by_value(nearest, -1, size) + 1
    depth = values.shape[2:]
    padding = ((1, 1), (1, 1), *((0, 0) for _ in depth))
    padded = tf.pad(values, padding, constant_values=tf.cast(fill, values.dtype))
    places = nearest[..., 0] * (size[1] + 2) + nearest[..., 1]
    return tf.gather(tf.reshape(padded, (-1, *depth)), places)


def needed_part(arrays: list[tf.Tensor], positions: tf.Tensor) -> tuple[list, tf.Tensor]:
    """Cuts arrays of equal size to the rows and columns that the positions need.

    A small crop of a large image then does not copy the whole image.

    Returns: the parts, and the positions in them.
    """
    size = tf.shape(arrays[0])[:2]
    first = tf.cast(tf.floor(tf.reduce_min(positions, axis=(0, 1))), tf.int32)
    last = tf.cast(tf.floor(tf.reduce_max(positions, axis=(0, 1))), tf.int32) + 1
    first = tf.clip_by_value(first, 0, size - 1)
    last = tf.clip_by_value(last, first, size - 1)
    parts = [array[first[0] : last[0] + 1, first[1] : last[1] + 1] for array in arrays]
    return parts, positions - tf.cast(first, tf.float32)


def crop_positions(
    size: tf.Tensor,
    crop: tuple[int, int],
    *,
    centre: tf.Tensor,
    factor: tf.Tensor,
    degrees: tf.Tensor,
    displacement: tf.Tensor | None = None,
) -> tf.Tensor:
    """The positions in an image of the pixels of a crop.

    Args:
        size: (2,) height and width of the image, in pixels.
        crop: (height, width) in pixels.
        centre: (2,) in 0..1, the place of the crop inside the image: 0 is top left, 1 is bottom
            right. A crop larger than the image has the image in its centre.
        factor: magnification.
        degrees: clockwise rotation of the content.
        displacement: (crop height, crop width, 2), in pixels of the crop, added to each position.

    Returns: (crop height, crop width, 2) float32.
    """
    window = tf.constant(crop, tf.float32) / factor
    room = tf.cast(size, tf.float32) - window
    # pixel i covers i - 0.5 .. i + 0.5
    middle = tf.where(room > 0, room * centre, room / 2) + window / 2 - 0.5
    rows = tf.range(crop[0], dtype=tf.float32) - (crop[0] - 1) / 2
    columns = tf.range(crop[1], dtype=tf.float32) - (crop[1] - 1) / 2
    offsets = tf.stack(tf.meshgrid(rows, columns, indexing="ij"), axis=-1)
    if displacement is not None:
        offsets += displacement
    angle = degrees * (math.pi / 180)
    sine, cosine = tf.sin(angle), tf.cos(angle)
    row = cosine * offsets[..., 0] - sine * offsets[..., 1]
    column = sine * offsets[..., 0] + cosine * offsets[..., 1]
    return tf.stack([row, column], axis=-1) / factor + middle


def elastic_displacement(
    seed: tf.Tensor, crop: tuple[int, int], *, deviation: float, grid: int
) -> tf.Tensor:
    """Normally distributed vectors on a coarse grid, interpolated to (crop height, width, 2)."""
    vectors = tf.random.stateless_normal((grid, grid, 2), seed, stddev=deviation)
    return tf.image.resize(vectors, crop, method="bicubic")
