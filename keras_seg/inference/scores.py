"""From scores to probabilities and masks, and scores at another size."""

from __future__ import annotations

import numpy as np
from PIL import Image

from keras_seg.inference.runner import NetworkRunner

SUM_TOLERANCE = 0.03
"""How far the two probabilities of a pixel may sum from 1: int8 files have steps of 1/256, and
float16 rounds."""


def to_probabilities(
    scores: np.ndarray, head: str, num_classes: int, multi_label: bool = False
) -> np.ndarray:
    """(..., num_classes) scores or (...) classes of a network → probabilities of every class.

    Probabilities are returned as they are, also those of one sigmoid per channel.
    """
    if head == "argmax":
        return np.eye(num_classes, dtype=np.float32)[scores]
    if head == "probabilities":
        return scores
    if scores.shape[-1] == 1 or multi_label:
        with np.errstate(over="ignore"):  # exp of a large number is infinite, its inverse is 0
            return 1 / (1 + np.exp(-scores))
    exponent = np.exp(scores - scores.max(-1, keepdims=True))
    return exponent / exponent.sum(-1, keepdims=True)


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


def class_map(
    scores: np.ndarray, head: str, *, threshold: float = 0.5, multi_label: bool = False
) -> np.ndarray:
    """(H, W, num_classes) scores, or (H, W) classes → (H, W) uint8 classes.

    A single score separates two classes: the second one where the probability is above the
    threshold. Among several classes the largest score wins. With `multi_label` every
    score is compared with the threshold: (H, W, labels) uint8 of 0 and 1.

    Raises: ValueError for a threshold other than 0.5 if two probabilities do not sum to 1.
    """
    if scores.ndim == 2:
        return scores
    if multi_label or scores.shape[-1] == 1:
        limit = np.log(threshold / (1 - threshold)) if head == "logits" else threshold
        above = (scores > np.float32(limit)).astype(np.uint8)
        return above if multi_label else above[..., 0]
    if threshold == 0.5:
        return scores.argmax(-1).astype(np.uint8)
    probabilities = to_probabilities(scores, head, scores.shape[-1])
    if np.abs(probabilities.sum(-1) - 1).max() > SUM_TOLERANCE:
        raise ValueError(
            "A threshold is for two probabilities whose sum is 1. Received: threshold="
            f"{threshold} for a network whose two channels add up to as much as "
            f"{probabilities.sum(-1).max():.2f}, so that each is a sigmoid of its own. Leave "
            "threshold out, or pass multi_label=True."
        )
    return (probabilities[..., 1] > np.float32(threshold)).astype(np.uint8)


def mask_of(
    runner: NetworkRunner, scores: np.ndarray, head: str, threshold: float = 0.5
) -> np.ndarray:
    """`class_map` with the `multi_label` of a runner's card."""
    return class_map(scores, head, threshold=threshold, multi_label=runner.card.multi_label)


def check_threshold(runner: NetworkRunner, threshold: float) -> None:
    """Raises ValueError for a threshold outside 0..1, or one that the network cannot have."""
    if not 0 < threshold < 1:
        raise ValueError(
            f"threshold is a probability between 0 and 1 (both excluded). Received: {threshold}"
        )
    if threshold == 0.5 or runner.card.multi_label:
        return
    if runner.card.head == "argmax":
        raise ValueError(
            f"{runner.what} puts out classes, which were decided at 0.5. Received: threshold="
            f"{threshold}. Export it with --head logits or probabilities."
        )
    if runner.num_classes != 2:
        raise ValueError(
            "A threshold is for two classes, or for labels of a multi-label model. Received: "
            f"threshold={threshold} for {runner.what} with {runner.num_classes} classes that "
            "exclude each other, of which the most probable wins. Leave threshold out."
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
