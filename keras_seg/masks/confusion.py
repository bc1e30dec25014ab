"""Confusion counts and IoU in NumPy: for evaluation, reports and searches outside of training.

Inside a compiled step the metrics of `keras_seg.metrics` count the same with Keras operators.
"""

from __future__ import annotations

import numpy as np

from keras_seg.names import IGNORE_CLASS


def empty_confusion(num_classes: int, *, multi_label: bool = False) -> np.ndarray:
    """Counts before the first image: (K, K) int64 zeros, or (K, 2, 2) for K labels."""
    shape = (num_classes, 2, 2) if multi_label else (num_classes, num_classes)
    return np.zeros(shape, np.int64)


def confusion_matrix(
    truth: np.ndarray, predicted: np.ndarray, num_classes: int, *, name: str = "image"
) -> np.ndarray:
    """Counts of the labelled pixels of an image, truth by prediction.

    Shapes: masks (H, W) of classes → (K, K) int64. Masks (H, W, K) of 0 and 1 → (K, 2, 2): for
    each label, truth (absent, present) by prediction. Pixels of truth 255 are not counted.

    Args:
        name: name of the image, for messages.

    Raises: ValueError for values outside of the classes, or for shapes that differ.

    Example:
        >>> truth, predicted = np.array([[0, 1], [1, 255]]), np.array([[0, 1], [0, 0]])
        >>> confusion_matrix(truth, predicted, 2).tolist()
        [[1, 0], [1, 1]]
    """
    if predicted.ndim == 3:
        return _label_confusion(np.asarray(truth), predicted, name)
    labelled = truth != IGNORE_CLASS
    true_ids, ids = truth[labelled].astype(np.int64), predicted[labelled]
    if true_ids.size and not (true_ids.min() >= 0 and max(true_ids.max(), ids.max()) < num_classes):
        raise ValueError(
            f"Sample {name!r}: mask values must be 0 to {num_classes - 1}, or "
            f"{IGNORE_CLASS} for unknown. Received: truth {true_ids.min()} to {true_ids.max()}, "
            f"prediction up to {ids.max()}. Check the class table of the data."
        )
    counts = np.bincount(true_ids * num_classes + ids, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def iou_per_class(confusion: np.ndarray) -> np.ndarray:
    """(K, K) or (K, 2, 2) counts → (K,) intersection over union, NaN for absent classes.

    Example:
        >>> iou_per_class(np.array([[1, 0], [1, 1]])).tolist()
        [0.5, 0.5]
    """
    if confusion.ndim == 3:
        hits = confusion[:, 1, 1].astype(np.float64)
        union = confusion.sum((1, 2)) - confusion[:, 0, 0]
    else:
        hits = np.diag(confusion).astype(np.float64)
        union = confusion.sum(0) + confusion.sum(1) - hits
    return np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)


def scores_per_class(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Scores and numbers of pixels of each class: (K, K) or (K, 2, 2) counts → (K,) each.

    Returns: "iou", "dice", "precision" and "recall" (NaN where undefined), "pixels" of the class in
        the masks, and "predicted" pixels.

    Example:
        >>> scores = scores_per_class(np.array([[1, 0], [1, 1]]))
        >>> scores["precision"].tolist(), scores["recall"].tolist()
        ([0.5, 1.0], [1.0, 0.5])
    """
    if confusion.ndim == 3:
        hits, pixels, predicted = (
            confusion[:, 1, 1],
            confusion[:, 1].sum(1),
            confusion[..., 1].sum(1),
        )
    else:
        hits, pixels, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)

    def share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
        return np.divide(part, whole, out=np.full(len(hits), np.nan), where=whole > 0)

    return {
        "iou": iou_per_class(confusion),
        "dice": share(2.0 * hits, pixels + predicted),
        "precision": share(1.0 * hits, predicted),
        "recall": share(1.0 * hits, pixels),
        "pixels": pixels,
        "predicted": predicted,
    }


def mean_iou(confusion: np.ndarray) -> float | None:
    """Mean IoU of the classes that occur; None if no pixel is labelled."""
    return float(np.nanmean(iou_per_class(confusion))) if confusion.any() else None


def pixel_accuracy(confusion: np.ndarray) -> float | None:
    """Share of correct pixels, of labels the share of correct labels; None without any."""
    total = int(confusion.sum())
    return float(np.trace(confusion, axis1=-2, axis2=-1).sum()) / total if total else None


def _label_confusion(truth: np.ndarray, predicted: np.ndarray, name: str) -> np.ndarray:
    if truth.shape != predicted.shape or not np.isin(truth, (0, 1, IGNORE_CLASS)).all():
        raise ValueError(
            f"Sample {name!r}: the mask of a multi-label data set is (height, width, labels)"
            f" of 0 and 1, or {IGNORE_CLASS} for unknown. Received: shape {truth.shape} for a "
            f"prediction of {predicted.shape}, values {truth.min()} to {truth.max()}."
        )
    known = truth != IGNORE_CLASS
    counts = [
        [(known & (truth == t) & (predicted == p)).sum((0, 1)) for p in (0, 1)] for t in (0, 1)
    ]
    return np.array(counts, np.int64).transpose(2, 0, 1)
