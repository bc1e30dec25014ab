"""Objects of a prediction matched with the true ones, and the precision of the match."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""0.5, 0.55, ..., 0.95: the thresholds of the Data Science Bowl 2018 and of COCO."""


def object_ious(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """IoU of every true object with every predicted one.

    Shapes: (H, W) numbers of objects, 0 for none → (true objects, predicted objects) float64, in
    the order of their numbers.

    Raises: ValueError for shapes that differ.
    """
    if truth.shape != predicted.shape or truth.ndim != 2:
        raise ValueError(
            "Objects are compared in two arrays (height, width) of one size. Received: "
            f"{truth.shape} and {predicted.shape}."
        )
    true_ids, true_of = np.unique(truth, return_inverse=True)
    ids, predicted_of = np.unique(predicted, return_inverse=True)
    pairs = true_of.ravel() * len(ids) + predicted_of.ravel()
    overlap = np.bincount(pairs, minlength=len(true_ids) * len(ids))
    overlap = overlap.reshape(len(true_ids), len(ids)).astype(np.float64)
    union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
    return (overlap / union)[true_ids != 0][:, ids != 0]


def match_counts(
    truth: np.ndarray, predicted: np.ndarray, thresholds: Sequence[float] = THRESHOLDS
) -> np.ndarray:
    """Counts of matched and unmatched objects of an image at each threshold.

    A true and a predicted object match if their IoU is above the threshold. Above 0.5 an object
    matches at most one other, so that the matches are one to one.

    Shapes: (H, W) numbers of objects, 0 for none → (thresholds, 3) int64: matches, predicted
    objects without a match, true objects without a match.

    Raises: ValueError for shapes that differ, and for a threshold below 0.5.
    """
    if not all(0.5 <= each < 1 for each in thresholds):
        raise ValueError(f"thresholds are IoUs from 0.5 to below 1. Received: {list(thresholds)}")
    ious = object_ious(truth, predicted)
    hits = [int((ious > each).sum()) for each in thresholds]
    return np.array([(hit, ious.shape[1] - hit, ious.shape[0] - hit) for hit in hits], np.int64)


def precision_of_counts(counts: np.ndarray) -> np.ndarray:
    """(thresholds, 3) counts → (thresholds,) matches / (matches + both kinds of unmatched).

    NaN without any object.
    """
    total = counts.sum(-1)
    empty = np.full(len(counts), np.nan)
    return np.divide(counts[:, 0], total, out=empty, where=total > 0)
