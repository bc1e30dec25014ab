"""Files and pictures of masks whose pixels may have several labels."""

from __future__ import annotations

import re

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.data.mask_colors import overlay

MASK_ENDING = "_mask.png"
LONGEST_NAME = 60
"""Letters of a label in a file's name."""


def mask_endings(classes: ClassTable, multi_label: bool) -> list[str]:
    """What the names of an image's mask files end in: one file, or one for each label.

    A label's name is written without what file systems do not take, and without "_", so that
    X_LABEL_mask.png tells where X ends.
    """
    if not multi_label:
        return [MASK_ENDING]
    names: list[str] = []
    for name in classes.names:
        plain = re.sub(r"[^\w.+-]|_", "-", name).strip(".-")[:LONGEST_NAME] or "label"
        taken, count = {other.lower() for other in names}, 1
        safe = plain
        while safe.lower() in taken:  # some file systems do not tell A from a
            count += 1
            safe = f"{plain}-{count}"
        names.append(safe)
    return [f"_{name}{MASK_ENDING}" for name in names]


def label_palette(color: tuple[int, int, int]) -> np.ndarray:
    """(256, 3) uint8 colours of a label's mask: black where it is absent."""
    palette = np.zeros((256, 3), np.uint8)
    palette[1:] = color
    return palette


def overlay_of(image: np.ndarray, mask: np.ndarray, classes: ClassTable) -> np.ndarray:
    """`overlay` of classes (H, W), or of labels (H, W, n): the mean of the colours of a pixel's.

    Pixels without a label stay as they are.
    """
    if mask.ndim == 2:
        return overlay(image, mask, classes)
    pixels = overlay(image, np.zeros(mask.shape[:2], np.uint8), classes, opacity=0.0)
    count = mask.sum(-1, keepdims=True, dtype=np.float32)
    colors = mask.astype(np.float32) @ np.array(classes.colors, np.float32)
    blended = 0.5 * pixels + 0.5 * colors / np.maximum(count, 1)
    return np.where(count > 0, np.round(blended), pixels).astype(np.uint8)
