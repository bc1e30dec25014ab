"""Masks that are not class indices: grey levels, smoothly resized masks, and pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_seg.data.mask_values.counted_labels import CountedLabels, listed, plain_number
from keras_seg.data.mask_values.finding import Finding

LARGEST_LEVEL = 255
NEARLY_WHITE = 200
EVEN_LEVELS = 16
"""Grey levels of more classes than this are too close to be recognised."""
MANY = 32
"""Peaks of smoothly resized masks are at least twice this far apart."""
RINGING = 16
"""How far JPEG changes the values of a mask."""
DOMINANT = 0.3
"""Smallest share of a peak among the values around it."""


def looks_like(labels: CountedLabels) -> Finding | None:
    """Grey levels, smoothly resized masks or pictures, which explain values outside the classes."""
    values, largest = labels.values, labels.values[-1]
    if largest > LARGEST_LEVEL or len(values) < 3:
        return None
    beyond = labels.num_classes or len(labels.known)
    if labels.known[-1] < beyond and not _crowded(labels):
        return None
    if _evenly_spread(values):
        levels = [plain_number(value) for value in values]
        halfway = (
            f" If {levels[1]} means unknown, {labels.values_line([0, levels[2]], levels[1])}."
            if len(levels) == 3 and labels.remedies.values_ignoring
            else ""
        )
        return Finding(
            "grey levels",
            f"{labels.they_hold} the grey levels {listed(values)}, evenly spread up to "
            f"{plain_number(largest)}, which are no class indices ({labels.share(values[1:])} of "
            f"the pixels are above 0). If they are {len(values)} classes, "
            f"{labels.values_line(values)}.{halfway}",
        )
    if len(values) > 2 * MANY and not _any_frequent(labels):
        return Finding(
            "picture",
            f"{labels.they_hold} {len(values)} different values, none of them far more often "
            "than others: they look like pictures, not like classes. Put the masks in their "
            "place.",
        )
    peaks = _smooth_peaks(labels)
    if not peaks:
        return None
    between = [value for value in values if value not in peaks]
    return Finding(
        "smooth",
        f"{labels.they_hold} {listed(peaks)} and {len(between)} values around and between "
        f"them ({labels.share(between)} of the pixels): {listed(between)}. They were resized "
        "smoothly, drawn with soft edges, or saved as JPEG. Export them again, resized with "
        f"the nearest neighbour and saved as PNG. Then, if {listed(peaks)} are the classes, "
        f"{labels.values_line(peaks)}.",
    )


def _crowded(labels: CountedLabels) -> bool:
    """Whether the values fill nearly all of 0..255, and most pixels have the first or last value.

    Real class indices of two hundred classes are never that lopsided.
    """
    if len(labels.values) < LARGEST_LEVEL * 3 // 4:
        return False
    ends = labels.counts[labels.values[0]] + labels.counts[labels.values[-1]]
    return ends > labels.total / 2 or not _any_frequent(labels)


def _any_frequent(labels: CountedLabels) -> bool:
    counts = [labels.counts[value] for value in labels.values]
    return max(counts) > 4 * np.median(counts)


def _smooth_peaks(labels: CountedLabels) -> list[float]:
    """The original values of masks that were resized smoothly or compressed; empty for others.

    In such masks values gather around a few peaks that are far apart. Each peak is much more
    frequent than its neighbours. Neighbouring class indices are similar in frequency.
    """
    if sum(value >= (labels.num_classes or 1) for value in labels.known) < 4:
        return []
    left = frequent = sorted(labels.values, key=labels.counts.get, reverse=True)
    groups = []
    while left:
        peak = left[0]
        near = [value for value in left if abs(value - peak) <= RINGING]
        left = [value for value in left if abs(value - peak) > RINGING]
        groups.append((peak, sum(labels.counts[value] for value in near)))
    groups.sort(key=lambda group: -group[1])
    sizes = [size for _, size in groups]
    drops = [sizes[i] / sizes[i + 1] for i in range(1, len(sizes) - 1)]
    number = len(groups) if not drops or max(drops) < 2 else drops.index(max(drops)) + 2
    chosen = groups[:number]
    peaks = sorted(peak for peak, _ in chosen)
    if (
        2 <= len(peaks) <= EVEN_LEVELS
        and len(labels.values) - len(peaks) >= max(3, len(peaks))
        and peaks[-1] - peaks[0] >= 2 * MANY
        and peaks[0] - labels.values[0] <= RINGING
        and labels.values[-1] - peaks[-1] <= RINGING
        and all(labels.counts[peak] > DOMINANT * size for peak, size in chosen)
    ):
        return peaks
    ends = [labels.values[0], labels.values[-1]]
    black_and_white = sorted(frequent[:2]) == ends and ends[1] > NEARLY_WHITE
    return ends if black_and_white and len(frequent) > 6 else []


def _evenly_spread(values: Sequence[float]) -> bool:
    """Whether values are evenly spaced grey levels from 0, such as 0, 85, 170, 255."""
    if not 3 <= len(values) <= EVEN_LEVELS or values[0] != 0 or values[-1] < 2 * EVEN_LEVELS:
        return False
    step = values[-1] / (len(values) - 1)
    return step > 2 and all(abs(value - i * step) <= 1 for i, value in enumerate(values))
