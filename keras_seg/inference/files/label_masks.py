"""Names and pictures of masks whose pixels may have several labels."""

from __future__ import annotations

import re

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.data.mask_colors import overlay

MASK_ENDING = "_mask.png"
LONGEST_NAME = 60
"""Maximum number of characters of a label in a file name."""


def mask_endings(classes: ClassTable, multi_label: bool) -> list[str]:
    """Endings of the mask file names of an image: one file, or one per label.

    A label loses the characters that file systems do not take, and "_", so that X_LABEL_mask.png
    shows where X ends.
    """
    if not multi_label:
        return [MASK_ENDING]
    names: list[str] = []
    for name in classes.names:
        plain = re.sub(r"[^\w.+-]|_", "-", name).strip(".-")[:LONGEST_NAME] or "label"
        used, count = {other.lower() for other in names}, 1
        unique = plain
        while unique.lower() in used:  # some file systems do not distinguish A from a
            count += 1
            unique = f"{plain}-{count}"
        names.append(unique)
    return [f"_{name}{MASK_ENDING}" for name in names]


def label_palette(color: tuple[int, int, int]) -> np.ndarray:
    """(256, 3) uint8 colours of a label's mask: black where the label is absent."""
    palette = np.zeros((256, 3), np.uint8)
    palette[1:] = color
    return palette


def overlay_of(image: np.ndarray, mask: np.ndarray, classes: ClassTable) -> np.ndarray:
    """`overlay` for classes (H, W), or for labels (H, W, n) with the mean colour of each pixel.

    Pixels without a label keep their colour.
    """
    if mask.ndim == 2:
        return overlay(image, mask, classes)
    pixels = overlay(image, np.zeros(mask.shape[:2], np.uint8), classes, opacity=0.0)
    present = mask == 1  # 255 is unknown
    count = present.sum(-1, keepdims=True, dtype=np.float32)
    colors = present.astype(np.float32) @ np.array(classes.colors, np.float32)
    blended = 0.5 * pixels + 0.5 * colors / np.maximum(count, 1)
    return np.where(count > 0, np.round(blended), pixels).astype(np.uint8)
