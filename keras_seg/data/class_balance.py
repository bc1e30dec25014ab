"""Class weights that are counted from data."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np

from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.histogram import class_histogram, count_classes, median_frequency_weights
from keras_seg.losses.class_weights import rule_named


def class_weights(
    data: SegmentationDataset | Iterable[np.ndarray],
    rule: str = "balanced",
    *,
    num_classes: int | None = None,
) -> list[float]:
    """One weight per class, larger for rarer classes, for the `class_weights` of a loss.

        weights = keras_seg.data.class_weights(dataset, "median")
        loss = keras_seg.losses.CrossEntropy(class_weights=weights)

    "balanced" is scikit-learn's: known pixels / (classes that occur * pixels of the class), so that
    all classes weigh the same in sum. "median" is SegNet's median-frequency balancing: median of
    the frequencies / frequency of the class, where the frequency is the share of the class in the
    pixels of those images that show it; `keras-seg verify-dataset` prints these. Pixels of 255 are
    not counted, and classes that never occur weigh 0, which a warning names.

    Args:
        data: a data set, whose masks are read once, or masks (B, H, W) or a list of (H, W).
        rule: "balanced" or "median" ("median_frequency" is the same).
        num_classes: needed for masks; a data set says it.

    Returns: one float per class.

    Raises: ValueError for another rule, masks without num_classes, and values that are no class.
    """
    word = rule_named(rule)
    if isinstance(data, SegmentationDataset):
        histogram = class_histogram(data)
    elif num_classes is None:
        raise ValueError("class_weights needs num_classes with masks, which do not say it.")
    else:
        histogram = np.stack([_counted(np.asarray(mask), num_classes) for mask in data])
    weights = weights_by(word, histogram).tolist()
    absent = [number for number, weight in enumerate(weights) if not weight]
    if absent:
        warnings.warn(
            f"The classes {absent} of {len(weights)} occur in no mask and weigh 0. 255 is read as "
            "unknown, not as a class.",
            stacklevel=2,
        )
    return weights


def weights_by(word: str, histogram: np.ndarray) -> np.ndarray:
    """(classes,) float64 weights, by "balanced" or "median", of (images, classes) pixels."""
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
        found = np.unique(mask[outside])[:5].tolist() if mask.ndim == 2 else mask.shape
        raise ValueError(
            f"class_weights takes masks (H, W) of classes 0 to {num_classes - 1} and 255. "
            f"Received: {'shape ' if mask.ndim != 2 else ''}{found}"
        )
    return count_classes(whole, num_classes)
