"""Class weights counted from data."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np

from keras_seg.data.balance.histogram import (
    class_histogram,
    count_classes,
    median_frequency_weights,
)
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.losses.class_weights import rule_named


def class_weights(
    data: SegmentationDataset | Iterable[np.ndarray],
    rule: str = "balanced",
    *,
    num_classes: int | None = None,
) -> list[float]:
    """Computes one weight per class, larger for rarer classes, for `class_weights` of a loss.

    "balanced" is scikit-learn's rule: known pixels / (number of occurring classes * pixels of the
    class). All classes then have the same total weight. "median" is SegNet's median-frequency
    balancing: median of the frequencies / frequency of the class, where the frequency is the share
    of the class in the pixels of the images that show it (`keras-seg verify-dataset` prints these
    weights). Pixels of 255 are not counted.

    Args:
        data: a data set, whose masks are read once, or masks (B, H, W) or a list of (H, W).
        rule: "balanced" or "median" ("median_frequency" means the same).
        num_classes: number of classes; needed for masks, known for a data set.

    Returns: one float per class; 0 for a class that never occurs.

    Raises: ValueError for an unknown rule, for masks without num_classes, and for mask values that
        are not classes.

    Warns: UserWarning that names the classes that never occur.

    Example:

        cells = keras_seg.data.open_dataset("builtin:cells")
        weights = keras_seg.data.class_weights(cells, "median")
        loss = keras_seg.losses.CrossEntropy(class_weights=weights)
    """
    word = rule_named(rule)
    if isinstance(data, SegmentationDataset):
        histogram = class_histogram(data)
    elif num_classes is None:
        raise ValueError("class_weights needs num_classes for masks. Pass num_classes=...")
    else:
        histogram = np.stack([_counted(np.asarray(mask), num_classes) for mask in data])
    weights = weights_by(word, histogram).tolist()
    absent = [number for number, weight in enumerate(weights) if not weight]
    if absent:
        warnings.warn(
            f"The classes {absent} of {len(weights)} occur in no mask and get weight 0. 255 is "
            "read as unknown, not as a class.",
            stacklevel=2,
        )
    return weights


def weights_by(word: str, histogram: np.ndarray) -> np.ndarray:
    """Weights by the rule "balanced" or "median": (images, classes) pixels → (classes,) float64."""
    if word == "median":
        return median_frequency_weights(histogram)
    pixels = np.asarray(histogram, np.float64).sum(axis=0)
    present = pixels > 0
    share = pixels.sum() / max(present.sum(), 1)
    return np.divide(share, pixels, out=np.zeros(len(pixels)), where=present)


def _counted(mask: np.ndarray, num_classes: int) -> np.ndarray:
    if mask.ndim == 3 and mask.shape[-1] == 1:
        mask = mask[..., 0]
    whole = mask.astype(np.int64)
    known = (whole != 255) | (mask != whole)
    outside = known & ((whole < 0) | (whole >= num_classes) | (mask != whole))
    if mask.ndim != 2 or outside.any():
        received = np.unique(mask[outside])[:5].tolist() if mask.ndim == 2 else mask.shape
        raise ValueError(
            f"class_weights takes masks (H, W) of classes 0 to {num_classes - 1} and 255. "
            f"Received: {'shape ' if mask.ndim != 2 else ''}{received}"
        )
    return count_classes(whole, num_classes)
