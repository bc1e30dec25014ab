"""The pictures of a page, as text for the `src` of an image."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from keras_seg.data.classes import ClassTable
from keras_seg.data.mask_colors import as_rgb, overlay
from keras_seg.names import IGNORE_CLASS

SIDE = 800
"""Longer side of a picture, in pixels. A page shows it smaller, until it is enlarged."""
QUALITY = 90
MISSED, ADDED, CONFUSED = (86, 180, 233), (213, 94, 0), (240, 228, 66)
"""Colours of wrong pixels: background predicted, background in truth, and another class."""
STRENGTH = 0.85


def data_url(pixels: np.ndarray) -> str:
    """(H, W, 3) uint8 → a data URL of a JPEG. Colours have full resolution, for thin outlines."""
    file = io.BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.save(file, "JPEG", quality=QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def css_color(color: Sequence[int]) -> str:
    """(red, green, blue) as CSS."""
    red, green, blue = map(int, color)
    return f"rgb({red} {green} {blue})"


def fitted(image: np.ndarray, side: int = SIDE) -> np.ndarray:
    """(H, W, C) uint8 → (h, w, 3) with this longer side. Pixels stay sharp when enlarged."""
    pixels = Image.fromarray(np.ascontiguousarray(as_rgb(image)).astype(np.uint8))
    size = _size(image, side)
    larger = size[0] > image.shape[1]
    return np.asarray(pixels.resize(size, _sharp() if larger else Image.Resampling.BILINEAR))


def fitted_mask(mask: np.ndarray, side: int = SIDE) -> np.ndarray:
    """(H, W) classes or (H, W, n) labels → the same of the size that `fitted` gives."""
    planes = mask[..., None] if mask.ndim == 2 else mask
    size = _size(mask, side)
    resized = [
        np.asarray(Image.fromarray(plane.astype(np.uint8)).resize(size, _sharp()))
        for plane in np.moveaxis(planes, -1, 0)
    ]
    return resized[0] if mask.ndim == 2 else np.stack(resized, -1)


def compared(
    image: np.ndarray, truth: np.ndarray, predicted: np.ndarray, classes: ClassTable
) -> dict[str, np.ndarray]:
    """Title → picture: the image, the truth and the prediction over it, and the wrong pixels."""
    small, right, given = fitted(image), fitted_mask(truth), fitted_mask(predicted)
    return {
        "image": small,
        "truth": overlay(small, right, classes),
        "prediction": overlay(small, given, classes),
        "errors": _errors(small, right, given, classes.background),
    }


def _errors(
    image: np.ndarray, truth: np.ndarray, predicted: np.ndarray, background: int | None
) -> np.ndarray:
    """The image in grey, with the wrong pixels in the colours of their kind."""
    wrong = (truth != predicted) & (truth != IGNORE_CLASS)
    if truth.ndim == 3:
        missed, added = (wrong & (truth == 1)).any(-1), (wrong & (truth == 0)).any(-1)
        confused = missed & added
    else:
        nothing = -1 if background is None else background
        missed, added, confused = wrong & (predicted == nothing), wrong & (truth == nothing), wrong
        confused = wrong & ~missed & ~added
    drawn = np.repeat(image.mean(-1, keepdims=True), 3, -1)
    for pixels, color in ((missed, MISSED), (added, ADDED), (confused, CONFUSED)):
        drawn[pixels] = (1 - STRENGTH) * drawn[pixels] + STRENGTH * np.array(color)
    return drawn.round().astype(np.uint8)


def _size(image: np.ndarray, side: int) -> tuple[int, int]:
    """(width, height) of the picture of an image."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _sharp() -> Image.Resampling:
    return Image.Resampling.NEAREST
