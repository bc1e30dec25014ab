"""Average precision of objects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_seg.masks.instance_matching import THRESHOLDS, match_counts, precision_of_counts


def instance_average_precision(
    y_true: Any, y_pred: Any, *, thresholds: Sequence[float] = THRESHOLDS
) -> float | None:
    """Average precision of objects, as in the Data Science Bowl 2018.

    At each threshold t, the precision of an image is TP / (TP + FP + FN): TP counts the pairs of a
    true and a predicted object whose IoU is above t. The mean over the thresholds, and then over
    the images, is returned. Images without any object are left out.

    Shapes: (H, W) or (B, H, W) numbers of objects, 0 for none; or lists of (H, W) of any sizes.

    Args:
        y_true: the true objects.
        y_pred: the predicted objects, for example `keras_seg.inference.instances(mask).labels`.
        thresholds: IoUs from 0.5; by default 0.5, 0.55, ..., 0.95.

    Returns: 0..1; None if no image has an object.

    Raises: ValueError for shapes that differ, and for a threshold below 0.5.

    Example:
        >>> truth = np.array([[1, 1, 0, 2], [1, 1, 0, 2]])
        >>> found = np.array([[1, 1, 0, 0], [1, 0, 0, 0]])
        >>> round(keras_seg.metrics.instance_average_precision(truth, found), 4)
        0.25
    """
    truths, predictions = _images(y_true), _images(y_pred)
    if len(truths) != len(predictions):
        raise ValueError(
            f"Received: {len(truths)} images of true objects and {len(predictions)} of predicted "
            "ones. Each image needs both."
        )
    precisions = [
        precision_of_counts(match_counts(truth, predicted, thresholds)).mean()
        for truth, predicted in zip(truths, predictions, strict=True)
    ]
    with_objects = [each for each in precisions if not np.isnan(each)]
    return float(np.mean(with_objects)) if with_objects else None


def _images(objects: Any) -> list[np.ndarray]:
    if isinstance(objects, list | tuple):
        return [np.asarray(each) for each in objects]
    array = np.asarray(objects)
    return [array] if array.ndim == 2 else list(array)
