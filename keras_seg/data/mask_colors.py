"""Masks as pictures in the colours of their classes."""

from __future__ import annotations

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.names import IGNORE_CLASS


def colorize(mask: np.ndarray, classes: ClassTable) -> np.ndarray:
    """Colours a mask: (H, W) classes → (H, W, 3) uint8. Unknown pixels are white."""
    return palette_of(classes)[mask.astype(np.uint8)]


def overlay(
    image: np.ndarray, mask: np.ndarray, classes: ClassTable, *, opacity: float = 0.5
) -> np.ndarray:
    """Blends the colours of a mask over its image.

    An image with more than three channels is shown by its first three, one with two by its first.

    Args:
        image: (H, W, C) uint8.
        mask: (H, W) classes.
        classes: the class table with the colours.
        opacity: share of the mask's colour, 0..1.

    Returns: (H, W, 3) uint8.
    """
    shown = image[..., : 3 if image.shape[-1] >= 3 else 1]
    pixels = np.broadcast_to(shown, (*image.shape[:2], 3)).astype(np.float32)
    blended = pixels * (1 - opacity) + colorize(mask, classes) * opacity
    return np.round(blended).astype(np.uint8)


def palette_of(classes: ClassTable) -> np.ndarray:
    """Returns the colour of each mask value, (256, 3) uint8. Unknown (255) is white."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(classes)] = classes.colors
    palette[IGNORE_CLASS] = 255
    return palette
