"""Counts of the values in masks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np

WIDE = 2**16
"""Values in a narrower range than this are counted without sorting."""


def count_labels(masks: np.ndarray | Iterable[np.ndarray]) -> dict[float, int]:
    """Counts the pixels of each value in one mask or several, of any shape. All NaNs are one value.

    Example:
        >>> count_labels(np.uint8([[0, 0], [255, 1]]))
        {0: 2, 1: 1, 255: 1}
    """
    total: dict[float, int] = {}
    for mask in [masks] if isinstance(masks, np.ndarray) else masks:
        for value, count in _counted(np.asarray(mask)):
            total[value] = total.get(value, 0) + count
    return dict(sorted(total.items()))


def _counted(mask: np.ndarray) -> Iterator[tuple[float, int]]:
    whole = mask.dtype.kind in "bui" and mask.dtype != np.uint64 and mask.size
    if whole and int(mask.max()) - (low := int(mask.min())) < WIDE:
        counts = np.bincount(mask.reshape(-1).astype(np.intp) - low)
        values = np.flatnonzero(counts)
        counts, values = counts[values], values + low
    else:
        values, counts = np.unique(mask, return_counts=True)
    values = values.tolist()
    # one NaN object, so that all NaNs are one key of a dict
    return zip((math.nan if v != v else v for v in values), counts.tolist(), strict=True)
