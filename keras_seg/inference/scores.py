"""From scores to probabilities and masks, and scores at another size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from keras_seg.inference.runner import NetworkRunner

SUM_TOLERANCE = 0.03
"""How far the two probabilities of a pixel may sum from 1: int8 files have steps of 1/256, and
float16 rounds."""
Threshold = float | Sequence[float]
"""A probability, or for a multi-label network one per label."""
FEW_CLASSES = 7
"""Up to so many classes NumPy is slow along the last axis, and adds them one after the other."""


def to_probabilities(
    scores: np.ndarray, head: str, num_classes: int, multi_label: bool = False
) -> np.ndarray:
    """(..., num_classes) scores or (...) classes of a network → probabilities of every class.

    Probabilities are returned as they are, also those of one sigmoid per channel.
    """
    if head == "argmax":
        return np.take(np.eye(num_classes, dtype=np.float32), scores, axis=0)
    if head == "probabilities":
        return scores
    if scores.shape[-1] == 1 or multi_label:
        with np.errstate(over="ignore"):  # exp of a large number is infinite, its inverse is 0
            return 1 / (1 + np.exp(-scores))
    if scores.shape[-1] <= FEW_CLASSES:
        return _softmax_of_few(scores)
    exponent = np.exp(scores - scores.max(-1, keepdims=True))
    return exponent / exponent.sum(-1, keepdims=True)


def _softmax_of_few(scores: np.ndarray) -> np.ndarray:
    """The softmax class by class: several times as fast, and equal to the last bit."""
    result = np.empty(scores.shape, scores.dtype)
    classes = range(scores.shape[-1])
    before, after = ([each[..., n] for n in classes] for each in (scores, result))
    largest = before[0].copy()
    for each in before[1:]:
        np.maximum(largest, each, out=largest)
    for each, shifted in zip(before, after, strict=True):
        np.subtract(each, largest, out=shifted)
    np.exp(result, out=result)
    total = after[0].copy()
    for each in after[1:]:
        total += each
    for each in after:
        each /= total
    return result


def both_classes(probabilities: np.ndarray) -> np.ndarray:
    """(..., 1) probabilities of the second class → (..., 2); several classes stay as they are."""
    if probabilities.shape[-1] != 1:
        return probabilities
    return np.concatenate([1 - probabilities, probabilities], -1)


def class_probabilities(runner: NetworkRunner, scores: np.ndarray, head: str) -> np.ndarray:
    """(..., n) scores, or (...) classes, of a runner's network → (..., num_classes)."""
    multi_label = runner.card.multi_label
    probabilities = to_probabilities(scores, head, runner.num_classes, multi_label)
    return probabilities if multi_label else both_classes(probabilities)


def limits_of(thresholds: Threshold, head: str) -> np.ndarray:
    """Thresholds as float32 limits of scores: log-odds for logits."""
    probability = np.asarray(thresholds, np.float64)
    limits = np.log(probability / (1 - probability)) if head == "logits" else probability
    return limits.astype(np.float32)


def decisive_scores(
    scores: np.ndarray, head: str, *, multi_label: bool = False
) -> tuple[np.ndarray, str]:
    """The scores that are compared with a threshold, and whether they are logits.

    Shapes: (H, W, labels) → the same. (H, W, 1) or (H, W, 2) scores of two classes → (H, W), those
    of the second class.

    Returns: the scores, and "logits" or "probabilities".

    Raises: ValueError if two probabilities do not sum to 1.
    """
    if multi_label:
        return scores, head
    if scores.shape[-1] == 1:
        return scores[..., 0], head
    probabilities = to_probabilities(scores, head, scores.shape[-1])
    if np.abs(probabilities.sum(-1) - 1).max() > SUM_TOLERANCE:
        raise ValueError(
            "A threshold needs two probabilities whose sum is 1. Received: a network whose two "
            f"channels add up to as much as {probabilities.sum(-1).max():.2f}, so that each has "
            "its own sigmoid. Leave threshold out, or pass multi_label=True."
        )
    return probabilities[..., 1], "probabilities"


def class_map(
    scores: np.ndarray, head: str, *, threshold: Threshold = 0.5, multi_label: bool = False
) -> np.ndarray:
    """(H, W, num_classes) scores, or (H, W) classes → (H, W) uint8 classes.

    A single score separates two classes: the second one where the probability is above the
    threshold. Among several classes the largest score wins. With `multi_label` every score is
    compared with its threshold: (H, W, labels) uint8 of 0 and 1.

    Raises: ValueError for a threshold other than 0.5 if two probabilities do not sum to 1.
    """
    if scores.ndim == 2:
        return scores
    if scores.shape[-1] > 1 and not multi_label and threshold == 0.5:
        return scores.argmax(-1).astype(np.uint8)
    values, unit = decisive_scores(scores, head, multi_label=multi_label)
    return (values > limits_of(threshold, unit)).astype(np.uint8)


def mask_of(
    runner: NetworkRunner, scores: np.ndarray, head: str, threshold: Threshold | None = None
) -> np.ndarray:
    """`class_map` with the `multi_label` of a runner's card, and its threshold for None."""
    threshold = threshold_in_use(runner, threshold)
    return class_map(scores, head, threshold=threshold, multi_label=runner.card.multi_label)


def threshold_in_use(runner: NetworkRunner, threshold: Threshold | None) -> Threshold:
    """The given threshold; for None that of the runner's card, or 0.5."""
    if threshold is None:
        threshold = runner.card.threshold
    return 0.5 if threshold is None else threshold


def check_threshold(runner: NetworkRunner, threshold: Threshold | None) -> None:
    """Raises ValueError for a threshold that the network cannot have; None is always valid."""
    if threshold is None:
        return
    card, what = runner.card, runner.what
    check_threshold_values(threshold, runner.num_classes, card.multi_label, what)
    decided = 0.5 if card.threshold is None else card.threshold
    if card.head == "argmax" and threshold != decided:
        raise ValueError(
            f"{what} outputs classes, which were decided at the threshold {decided:g} when the "
            f"file was exported. Received: threshold={threshold}. Export it again with "
            f"--threshold {threshold}, or with --head logits or probabilities."
        )


def check_threshold_values(
    threshold: Threshold, num_classes: int, multi_label: bool, what: object
) -> None:
    """Raises ValueError for a threshold outside 0..1, a wrong count, or exclusive classes."""
    several = not isinstance(threshold, int | float | np.number)
    numbers = list(threshold) if several else [threshold]
    if any(isinstance(n, str) or not 0 < n < 1 for n in numbers):
        raise ValueError(
            f"threshold is a probability between 0 and 1 (both excluded). Received: {threshold}"
        )
    if several and (not multi_label or len(numbers) != num_classes):
        expected = f"one number, or {num_classes}, one per label" if multi_label else "one number"
        raise ValueError(
            f"{what} takes as threshold {expected}. Received: a list of {len(numbers)}, "
            f"threshold={numbers}"
        )
    if not multi_label and num_classes != 2 and threshold != 0.5:
        raise ValueError(
            f"{what} has {num_classes} mutually exclusive classes, of which the most probable "
            f"wins, and no threshold. Received: threshold={threshold}. It is for two classes, or "
            "for labels of a multi-label model. Leave threshold out."
        )


def resize_scores(scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w, num_classes) scores, bilinear, or (h, w) classes, nearest neighbour → `size`."""
    if scores.shape[:2] == tuple(size):
        return scores
    if scores.ndim == 2:
        return np.asarray(Image.fromarray(scores).resize(size[::-1], Image.Resampling.NEAREST))
    planes = [
        np.asarray(Image.fromarray(scores[..., c]).resize(size[::-1], Image.Resampling.BILINEAR))
        for c in range(scores.shape[2])
    ]
    return np.stack(planes, -1)


def resize_score_batch(scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`resize_scores` for a batch."""
    if scores.shape[1:3] == tuple(size):
        return scores
    return np.stack([resize_scores(each, size) for each in scores])
