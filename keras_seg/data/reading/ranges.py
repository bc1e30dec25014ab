"""The values of black and white in images of more than 8 bits, for all bands or band by band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

Limits = tuple[float, float]
"""(black, white)."""
ValueRange = Limits | tuple[Limits, ...]
"""(black, white) of all bands, or one such pair per band."""
MEASURED = "auto"
"""In place of a range: measure it in the training images."""
TAILS = (0.5, 99.5)
"""Percentiles of the known pixels that a measured range maps to black and white."""
MEASURED_PIXELS = 2**16
"""Pixels of an image that a measured range counts."""


def checked_range(value_range: Sequence[Any] | None) -> ValueRange | None:
    """Returns (black, white) as two numbers, or a tuple of one such pair per band.

    Raises: ValueError unless white is larger than black.
    """
    if value_range is None:
        return None
    if not isinstance(value_range, str) and any(np.ndim(each) for each in value_range):
        return tuple(_limits(each, value_range) for each in value_range)
    return _limits(value_range, value_range)


def _limits(pair: Sequence[Any], received: Sequence[Any]) -> Limits:
    try:
        low, high = map(float, pair)
    except (TypeError, ValueError):
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        raise ValueError(
            "A range is [black, white], the smaller value first, or one such pair per band. "
            f"Received: {received if isinstance(received, str) else list(received)}"
        )
    return low, high


def range_of_window(window: Sequence[Any] | None) -> Limits | None:
    """The range of a DICOM window (centre, width): black at its lower edge, white at its upper.

    DICOM PS3.3 C.11.2.1.2, linear: a window of centre c and width w begins at c - w / 2 and ends at
    c + w / 2 - 1.

    Raises: ValueError for a width of 1 or less.

    Example:
        >>> range_of_window((40, 400))
        (-160.0, 239.0)
    """
    if window is None:
        return None
    try:
        centre, width = map(float, window)
    except (TypeError, ValueError):
        centre = width = math.nan
    if not (math.isfinite(centre) and 1 < width < math.inf):
        raise ValueError(
            "A window is [centre, width] with a width above 1, such as [40, 400]. Received: "
            f"{window}"
        )
    return centre - width / 2, centre + width / 2 - 1


def limits_of(value_range: ValueRange, bands: int, name: object) -> tuple[np.ndarray, np.ndarray]:
    """Black and white of each band, two (bands,) or (1,) arrays.

    Raises: ValueError if the range has another number of pairs than the image has bands.
    """
    pairs = np.array(value_range, np.float64).reshape(-1, 2)
    if len(pairs) not in (1, bands) or (np.ndim(value_range) == 2 and len(pairs) != bands):
        raise ValueError(
            f"{name} has {bands} bands, and the range has {len(pairs)} pairs of black and white. "
            "Give one pair per band, or one pair for all bands."
        )
    return pairs[:, 0], pairs[:, 1]


def stretched(
    pixels: np.ndarray, value_range: ValueRange, name: object = "The image"
) -> np.ndarray:
    """Maps (black, white) to (0, 255) as uint8. Values outside are clipped.

    Shapes: (H, W, bands), or any shape for a range of all bands.

    Raises: ValueError for one pair per band if the image has another number of bands.
    """
    low, high = limits_of(value_range, pixels.shape[-1], name)
    scale = (255 / (high - low)).astype(np.float32)
    with np.errstate(over="ignore"):  # infinity is clipped, too
        mapped = (pixels.astype(np.float32) - low.astype(np.float32)) * scale
    return np.rint(mapped.clip(0, 255)).astype(np.uint8)


def measured_range(samples: Sequence[np.ndarray]) -> ValueRange | None:
    """The range of images by percentiles of their pixels, one pair per band.

    Args:
        samples: (n, bands) values of known pixels for each image; all of equally many bands.

    Returns: one pair for a single band; None for no pixels.
    """
    values = np.concatenate(samples) if samples else np.zeros((0, 1))
    if not len(values):
        return None
    lows, highs = np.percentile(values.astype(np.float64), TAILS, axis=0)
    if values.dtype.kind != "f":
        lows, highs = np.floor(lows), np.ceil(highs)
    highs = np.where(highs > lows, highs, lows + 1)
    pairs = tuple((float(low), float(high)) for low, high in zip(lows, highs, strict=True))
    return pairs if len(pairs) > 1 else pairs[0]


def range_text(value_range: ValueRange) -> str:
    """A range for messages: "0 to 4095", or "0 to 4095, 12 to 900" band by band."""
    pairs = np.array(value_range).reshape(-1, 2)
    return ", ".join(f"{low:g} to {high:g}" for low, high in pairs)
