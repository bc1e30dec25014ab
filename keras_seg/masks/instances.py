"""Objects in masks of classes: connected regions, and touching objects separated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

NECK = 0.8
"""Two parts of a region are two objects if the neck between them is narrower than this share of
the narrower part."""
BUMP = 1 / 3
"""A part that is narrower than this share of another is a bump of it, and no object."""
LEVELS, SMALLEST_STEP = 64, 0.5
"""Number of steps from the largest distance to 0, and the shortest of them in pixels."""
EIGHT = np.ones((3, 3), bool)
"""Neighbours by sides and corners."""
NEIGHBOURS = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1))
"""Steps to a pixel and its neighbours."""


def number_objects(
    mask: np.ndarray,
    object_classes: Sequence[int],
    *,
    border: int | None = None,
    split: bool = False,
    min_area: int = 0,
) -> np.ndarray:
    """Numbers the objects in a mask, class by class, from top to bottom.

    Pixels of one class that are connected by their sides are one object.

    Shapes: (H, W) classes → (H, W) int32, 0 for no object and objects from 1.

    Args:
        object_classes: the classes that have objects.
        border: class of the pixels between touching objects. They separate the objects, and then
            belong to the nearest one that they touch.
        split: separate touching objects of a class where a region has a neck.
        min_area: smallest number of pixels of an object.

    Example:
        >>> number_objects(np.array([[1, 0, 1], [1, 0, 0]]), [1]).tolist()
        [[1, 0, 2], [1, 0, 0]]
    """
    numbers, count = np.zeros(mask.shape, np.int32), 0
    for label in object_classes:
        regions, number = ndimage.label(mask == label)
        if split:
            regions, number = _split_all(regions)
        inside = regions > 0
        numbers[inside] = regions[inside] + count
        count += number
    if border is not None and count:
        _grow_into(numbers, mask == border)
    areas = np.bincount(numbers.ravel(), minlength=count + 1)
    kept = areas >= max(1, min_area)
    kept[0] = False
    order = np.where(kept, np.cumsum(kept), 0).astype(np.int32)
    return order[numbers]


def _grow_into(numbers: np.ndarray, border: np.ndarray) -> None:
    """Gives border pixels the number of the nearest object that they are connected to."""
    objects = numbers > 0
    nearest = ndimage.distance_transform_edt(~objects, return_distances=False, return_indices=True)
    groups, _ = ndimage.label(objects | border, EIGHT)
    taken = border & ~objects & (groups == groups[tuple(nearest)])
    numbers[taken] = numbers[tuple(nearest)][taken]


def _split_all(regions: np.ndarray) -> tuple[np.ndarray, int]:
    """Regions (H, W) with their touching objects separated, and the number of objects."""
    parts, count = np.zeros_like(regions), 0
    for number, place in enumerate(ndimage.find_objects(regions), start=1):
        inside = regions[place] == number
        split = split_at_necks(inside)
        parts[place][inside] = split[inside] + count
        count += int(split.max())
    return parts, count


def split_at_necks(inside: np.ndarray) -> np.ndarray:
    """Separates the parts of a region that hang together by narrow necks.

    Watershed of the distance to the outside, from the largest distance down. Two parts that meet
    stay separate if the distance at their neck is below 0.8 of the largest distance in the narrower
    part, and if that is no mere bump of the other: at least a third as wide.

    Shapes: (H, W) bool → (H, W) int32, 0 outside and the parts from 1.
    """
    distance = ndimage.distance_transform_edt(np.pad(inside, 1))
    largest = float(distance.max())
    step = max(SMALLEST_STEP, largest / LEVELS)
    parts, peaks = np.zeros(distance.shape, np.int32), [0.0]
    for level in [*np.arange(largest, 1, -step), SMALLEST_STEP]:
        groups, count = ndimage.label(distance >= level, EIGHT)
        members = _members(groups, parts, count)
        _add_parts(parts, peaks, groups, members, level)
        _join_without_neck(parts, peaks, members, level)
        _grow(parts, groups, distance)
    parts = parts[1:-1, 1:-1]
    used = np.unique(parts[inside])
    return np.where(inside, np.searchsorted(used, parts) + 1, 0).astype(np.int32)


def _members(groups: np.ndarray, parts: np.ndarray, count: int) -> list[list[int]]:
    """The parts in each group of connected pixels."""
    taken = parts > 0
    most = int(parts.max(initial=0)) + 1
    members: list[list[int]] = [[] for _ in range(count + 1)]
    for pair in np.unique(groups[taken].astype(np.int64) * most + parts[taken]).tolist():
        members[pair // most].append(pair % most)
    return members


def _add_parts(
    parts: np.ndarray,
    peaks: list[float],
    groups: np.ndarray,
    members: list[list[int]],
    level: float,
) -> None:
    """Makes a part of each group that has none."""
    fresh = np.zeros(len(members), np.int32)
    for group in (each for each in range(1, len(members)) if not members[each]):
        fresh[group] = len(peaks)
        peaks.append(level)
    if fresh.any():
        parts += fresh[groups]


def _join_without_neck(
    parts: np.ndarray, peaks: list[float], members: list[list[int]], level: float
) -> None:
    """Joins the parts of a group to the widest one, unless a neck separates them at this level."""
    joined = np.arange(len(peaks), dtype=np.int32)
    for labels in (each for each in members if len(each) > 1):
        widest = max(labels, key=lambda label: peaks[label])
        for label in labels:
            is_bump = peaks[label] < BUMP * peaks[widest]
            if label != widest and (level >= NECK * peaks[label] or is_bump):
                joined[label] = widest
    if (joined != np.arange(len(peaks))).any():
        parts[...] = joined[parts]


def _grow(parts: np.ndarray, groups: np.ndarray, distance: np.ndarray) -> None:
    """Gives the pixels of groups that have no part that of the neighbour farthest inside.

    The arrays have one pixel of padding.
    """
    rows, columns = np.nonzero((groups > 0) & (parts == 0))
    while len(rows):
        around = [(rows + down, columns + right) for down, right in NEIGHBOURS]
        labels = np.stack([parts[place] for place in around])
        heights = np.where(labels > 0, np.stack([distance[place] for place in around]), -1)
        chosen = labels[heights.argmax(0), np.arange(len(rows))]
        parts[rows, columns] = chosen
        left = chosen == 0
        if left.all():
            return
        rows, columns = rows[left], columns[left]
