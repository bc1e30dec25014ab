"""Large images by overlapping windows, averaged with weights that favour each window's middle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

STEP = 0.5
"""Distance of neighbouring windows, as a part of the window."""
SIGMA = 1 / 8
"""Deviation of the Gaussian weights, as a part of the window."""


def tiled_probabilities(
    run: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    window: tuple[int, int],
    head: str,
    num_classes: int,
) -> np.ndarray:
    """Class probabilities of an image by a network that sees windows of it.

    Shapes: (H, W, C) uint8 → (H, W, num_classes) float32; (H, W, 1) for a single logit.

    Args:
        run: (*window, C) uint8 → what the network puts out, at the size of the window.
        head: "logits", "probabilities" or "argmax": what the network puts out.
    """
    height, width = image.shape[:2]
    padding = [(0, max(0, full - size)) for full, size in zip(window, (height, width), strict=True)]
    image = np.pad(image, [*padding, (0, 0)], mode="edge")
    weight = np.outer(*(_gaussian(length) for length in window))[..., None]
    total, weights = 0.0, np.zeros((*image.shape[:2], 1), np.float32)
    for top in positions(image.shape[0], window[0]):
        for left in positions(image.shape[1], window[1]):
            place = np.s_[top : top + window[0], left : left + window[1]]
            probabilities = to_probabilities(run(image[place]), head, num_classes)
            if isinstance(total, float):
                total = np.zeros((*image.shape[:2], probabilities.shape[-1]), np.float32)
            total[place] += weight * probabilities
            weights[place] += weight
    return (total / weights)[:height, :width]


def positions(size: int, window: int) -> list[int]:
    """Where windows begin: evenly, at most STEP of a window apart, the last at the very end."""
    steps = int(np.ceil((size - window) / (STEP * window)))
    return np.linspace(0, size - window, steps + 1).round().astype(int).tolist()


def to_probabilities(scores: np.ndarray, head: str, num_classes: int) -> np.ndarray:
    """(H, W, num_classes) or (H, W) output of a network → probabilities of every class."""
    if head == "argmax":
        return np.eye(num_classes, dtype=np.float32)[scores]
    if head == "probabilities":
        return scores
    if scores.shape[-1] == 1:
        return 1 / (1 + np.exp(-scores))
    exponent = np.exp(scores - scores.max(-1, keepdims=True))
    return exponent / exponent.sum(-1, keepdims=True)


def _gaussian(length: int) -> np.ndarray:
    """Weights of a window's rows or columns: 1 in the middle, never quite 0 at the edge."""
    offset = np.arange(length, dtype=np.float32) - (length - 1) / 2
    return np.maximum(np.exp(-0.5 * (offset / (SIGMA * length)) ** 2), 1e-3).astype(np.float32)
