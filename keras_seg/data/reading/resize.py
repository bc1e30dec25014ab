"""Images and masks at another size."""

from __future__ import annotations

import numpy as np
from PIL import Image


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes (H, W, C) uint8 to (height, width) pixels: bilinear, with antialiasing."""
    if image.shape[:2] == tuple(size):
        return image
    height, width = size
    bands = [
        np.asarray(Image.fromarray(band).resize((width, height), Image.Resampling.BILINEAR))
        for band in np.moveaxis(image, -1, 0)
    ]
    return np.stack(bands, axis=-1)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resizes (H, W[, C]) to (height, width) pixels by the nearest pixel; keeps the type."""
    if mask.ndim == 3:
        return np.stack([resize_mask(band, size) for band in np.moveaxis(mask, -1, 0)], axis=-1)
    height, width = size
    kind = np.float32 if np.issubdtype(mask.dtype, np.floating) else np.int32
    resized = Image.fromarray(mask.astype(kind)).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(resized).astype(mask.dtype)
