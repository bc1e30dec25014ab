"""Masks as pictures in the colours of their classes."""

from __future__ import annotations

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.names import IGNORE_CLASS


def colorize(mask: np.ndarray, classes: ClassTable) -> np.ndarray:
    """Colours a mask: (H, W) classes → (H, W, 3) uint8. Unknown pixels are white.

    Labels (H, W, n) of 0 and 1 → the mean colour of the labels of each pixel, black for none.
    """
    if mask.ndim == 2:
        return palette_of(classes)[mask.astype(np.uint8)]
    mean, _ = _mean_of_labels(mask, classes)
    unknown = (mask == IGNORE_CLASS).all(-1, keepdims=True)
    return np.where(unknown, 255, np.round(mean)).astype(np.uint8)


def overlay(
    image: np.ndarray, mask: np.ndarray, classes: ClassTable, *, opacity: float = 0.5
) -> np.ndarray:
    """Blends the colours of a mask over its image.

    Pixels without any label of a multi-label mask keep the colour of the image. White is blended
    over pixels that are unknown.

    An image with more than three channels is shown by its first three, one with two by its first.

    Args:
        image: (H, W, C) uint8.
        mask: (H, W) classes, or (H, W, n) labels of 0 and 1.
        classes: the class table with the colours.
        opacity: share of the mask's colour, 0..1.

    Returns: (H, W, 3) uint8.
    """
    pixels = as_rgb(image).astype(np.float32)
    if mask.ndim == 2:
        blended = pixels * (1 - opacity) + colorize(mask, classes) * opacity
        return np.round(blended).astype(np.uint8)
    mean, count = _mean_of_labels(mask, classes)
    unknown = (mask == IGNORE_CLASS).all(-1, keepdims=True)
    blended = (1 - opacity) * pixels + opacity * np.where(unknown, 255, mean)
    return np.where((count > 0) | unknown, np.round(blended), pixels).astype(np.uint8)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """(H, W, C) → (H, W, 3), of the same type: the first three channels, or the first one as grey.

    The result may be a view of the image that cannot be written to.
    """
    shown = image[..., : 3 if image.shape[-1] >= 3 else 1]
    return np.broadcast_to(shown, (*image.shape[:2], 3))


def _mean_of_labels(mask: np.ndarray, classes: ClassTable) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, n) labels → the mean colour (H, W, 3) and the number (H, W, 1) of each pixel's."""
    present = (mask == 1).astype(np.float32)
    count = present.sum(-1, keepdims=True)
    return present @ np.array(classes.colors, np.float32) / np.maximum(count, 1), count


def palette_of(classes: ClassTable) -> np.ndarray:
    """Returns the colour of each mask value, (256, 3) uint8. Unknown (255) is white."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(classes)] = classes.colors
    palette[IGNORE_CLASS] = 255
    return palette
