"""Pixels that hold no data: where they are, and values that seem to mean so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_seg.names import IGNORE_CLASS

FAR = 1.0
"""A value is far from the others if the gap is at least this many times their spread."""
SMALLEST_FAR = 0.001
"""Smallest share of the pixels at which a value far from the others is suspected."""
SMALLEST_BORDER = 0.01
"""Smallest share of the pixels at which one value along the border is suspected."""


def known_pixels(pixels: np.ndarray, nodata: Sequence[float] = ()) -> np.ndarray | None:
    """The pixels that hold data: not NaN in any band, and not a value of `nodata` in all bands.

    Shapes: (H, W, bands) → (H, W) bool; None if all pixels hold data.
    """
    if pixels.ndim != 3:
        return None
    unknown = np.zeros(pixels.shape[:2], bool)
    if pixels.dtype.kind == "f":
        unknown |= np.isnan(pixels).any(axis=-1)
    for value in nodata:
        equal = _equal(pixels, value)
        if equal is not None:
            unknown |= equal.all(axis=-1)
    return ~unknown if unknown.any() else None


def marked(prediction: np.ndarray, known: np.ndarray | None) -> np.ndarray:
    """A mask with 255, or probabilities with NaN, where the image holds no data.

    Shapes: (H, W) or (H, W, n); known (H, W) bool or None → as the prediction.
    """
    if known is None:
        return prediction
    unknown = np.nan if prediction.dtype.kind == "f" else IGNORE_CLASS
    result = prediction.copy()
    result[~known] = unknown
    return result


def _equal(pixels: np.ndarray, value: float) -> np.ndarray | None:
    """Where pixels equal a value, in their own type; None if the type cannot hold it."""
    if pixels.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return pixels == pixels.dtype.type(value)
    if pixels.dtype.kind == "b" or value != round(value):
        return None
    limits = np.iinfo(pixels.dtype)
    return pixels == int(value) if limits.min <= value <= limits.max else None


class Suspicion(NamedTuple):
    """A value that seems to mean "no data".

    Attributes:
        value: the value.
        share: share of the pixels that have it in all bands.
        reason: why it is suspected, for messages.
    """

    value: float
    share: float
    reason: str


def suspected_nodata(pixels: np.ndarray, known: np.ndarray | None = None) -> Suspicion | None:
    """A value that pixels have in all bands and that seems to mean "no data"; None without one.

    The smallest or the largest value is suspected if it is far from all others, or if it fills a
    region along the border.

    Args:
        pixels: (H, W, bands) as stored.
        known: (H, W) bool, pixels that are known to hold data; None for all.
    """
    known = np.ones(pixels.shape[:2], bool) if known is None else known
    values = pixels[known]
    if not values.size or pixels.dtype.kind == "b":
        return None
    for value in (values.min(), values.max()):
        same = (pixels == value).all(axis=-1) & known
        share = float(same.mean())
        if share < SMALLEST_FAR or same[known].all():
            continue
        rest = values[values != value].astype(np.float64)
        spread = float(rest.max() - rest.min())
        gap = float(min(abs(rest.min() - float(value)), abs(rest.max() - float(value))))
        if gap > FAR * max(spread, 1e-9):
            return Suspicion(value.item(), share, "far from all other values")
        if share >= SMALLEST_BORDER and _fills_border(same):
            return Suspicion(value.item(), share, "in a region along the border")
    return None


def _fills_border(same: np.ndarray) -> bool:
    """Whether the largest part of these pixels is one region that covers a side, or a corner."""
    from scipy import ndimage  # takes long, and `keras-seg train --help` does without

    regions, count = ndimage.label(same)
    if not count:
        return False
    largest = regions == 1 + int(np.argmax(np.bincount(regions.ravel())[1:]))
    corners = largest[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    return bool(corners) and largest.sum() >= max(SMALLEST_BORDER * same.size, 0.5 * same.sum())
