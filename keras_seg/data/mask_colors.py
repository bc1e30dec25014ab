"""Masks as pictures in the colours of their classes."""

from __future__ import annotations

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.names import IGNORE_CLASS

PIXELS_PER_OUTLINE = 1000
"""An outline is as many pixels wide as this number fits into the longer side of an image."""


def colorize(mask: np.ndarray, classes: ClassTable) -> np.ndarray:
    """Colours a mask: (H, W) classes → (H, W, 3) uint8. Unknown pixels are white.

    Labels (H, W, n) of 0 and 1 → the mean colour of the labels of each pixel, black for none.
    """
    if mask.ndim == 2:
        return palette_of(classes)[mask.astype(np.uint8)]
    return np.round(_mean_of_labels(mask, classes, every_label=True)[0]).astype(np.uint8)


def overlay(
    image: np.ndarray,
    mask: np.ndarray,
    classes: ClassTable,
    *,
    opacity: float = 0.5,
    outline: int = 1,
) -> np.ndarray:
    """Blends the colours of a mask over its image, and draws outlines twice as strongly.

    Pixels of the background (`ClassTable.background`), unknown pixels, and pixels without any label
    keep the colour of the image. Unknown regions have a white outline.

    An image with more than three channels is shown by its first three, one with two by its first.

    Args:
        image: (H, W, C) uint8.
        mask: (H, W) classes, or (H, W, n) labels of 0 and 1.
        classes: the class table with the colours.
        opacity: share of the mask's colour inside a region, 0..1.
        outline: width of the outlines in pixels; 0 for none.

    Returns: (H, W, 3) uint8.
    """
    pixels = as_rgb(image).astype(np.float32)
    if mask.ndim == 2:
        values = mask.astype(np.uint8)
        colors, filled = palette_of(classes)[values], _shown(classes)[values]
        unknown = values == IGNORE_CLASS
    else:
        colors, filled = _mean_of_labels(mask, classes)
        unknown = (mask == IGNORE_CLASS).all(-1)
    strength = np.where(filled, np.float32(opacity), np.float32(0))
    strength[region_edges(mask, outline) & (filled | unknown)] = min(1, 2 * opacity)
    strength = strength[..., None]
    return np.round(pixels * (1 - strength) + colors * strength).astype(np.uint8)


def outline_width(size: tuple[int, int]) -> int:
    """Width in pixels at which an outline can be seen in an image of this (height, width)."""
    return max(1, round(max(size) / PIXELS_PER_OUTLINE))


def region_edges(mask: np.ndarray, width: int = 1) -> np.ndarray:
    """(H, W) bool: pixels with another class, or other labels, at most `width` pixels away.

    Only the pixels to the left, right, top and bottom are compared.
    """
    edges = np.zeros(mask.shape[:2], bool)
    for distance in range(1, width + 1):
        for axis in (0, 1):
            near, far = (
                np.moveaxis(mask, axis, 0)[:-distance],
                np.moveaxis(mask, axis, 0)[distance:],
            )
            differ = near != far
            differ = differ.any(-1) if mask.ndim == 3 else differ
            along = np.moveaxis(edges, axis, 0)
            along[:-distance] |= differ
            along[distance:] |= differ
    return edges


class OverlayBands:
    """Overlays of an image that comes in bands of rows. The outlines are those of the whole image.

    Args:
        classes: the class table with the colours.
        outline: width of the outlines in pixels.
    """

    def __init__(self, classes: ClassTable, outline: int) -> None:
        self._classes, self._outline = classes, outline
        self._image: np.ndarray | None = None
        self._mask: np.ndarray | None = None
        self._complete = 0  # kept rows that were returned before

    def add(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Adds a band (n, W, C) with its mask. Returns the rows (m, W, 3) that are complete now."""
        if self._image is not None and self._mask is not None:
            image = np.concatenate([self._image, image])
            mask = np.concatenate([self._mask, mask])
        complete = max(self._complete, len(mask) - self._outline)
        rows = overlay(image, mask, self._classes, outline=self._outline)[self._complete : complete]
        first = max(0, complete - self._outline)
        self._image, self._mask = image[first:].copy(), mask[first:].copy()
        self._complete = complete - first
        return rows

    def end(self) -> np.ndarray:
        """Returns the last rows."""
        assert self._image is not None and self._mask is not None
        drawn = overlay(self._image, self._mask, self._classes, outline=self._outline)
        return drawn[self._complete :]


def as_rgb(image: np.ndarray) -> np.ndarray:
    """(H, W, C) → (H, W, 3), of the same type: the first three channels, or the first one as grey.

    The result may be a view of the image that cannot be written to.
    """
    shown = image[..., : 3 if image.shape[-1] >= 3 else 1]
    return np.broadcast_to(shown, (*image.shape[:2], 3))


def palette_of(classes: ClassTable) -> np.ndarray:
    """Returns the colour of each mask value, (256, 3) uint8. Unknown (255) is white."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(classes)] = classes.colors
    palette[IGNORE_CLASS] = 255
    return palette


def _shown(classes: ClassTable) -> np.ndarray:
    """(256,) bool: the mask values whose colour is blended over the image."""
    shown = np.arange(256) < len(classes)
    if classes.background is not None:
        shown[classes.background] = False
    return shown


def _mean_of_labels(
    mask: np.ndarray, classes: ClassTable, *, every_label: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, n) labels → the mean colour (H, W, 3) of each pixel's, and whether it has any.

    The background does not count, unless `every_label`. Unknown pixels are white.
    """
    counted = np.ones(len(classes), bool) if every_label else _shown(classes)[: len(classes)]
    present = ((mask == 1) & counted).astype(np.float32)
    count = present.sum(-1, keepdims=True)
    mean = present @ np.array(classes.colors, np.float32) / np.maximum(count, 1)
    unknown = (mask == IGNORE_CLASS).all(-1, keepdims=True)
    return np.where(unknown, np.float32(255), mean), count[..., 0] > 0
