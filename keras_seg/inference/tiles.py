"""Large images by windows: overlapping and averaged, or, without padding, meeting exactly."""

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
    weight = np.outer(*(gaussian(length) for length in window))[..., None]
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


def overlap_tiled(
    run: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    window: tuple[int, int],
    margin: tuple[int, int],
    multiple: int,
) -> np.ndarray:
    """The overlap-tile strategy of the U-Net paper: what a network without padding says of images.

    Windows begin a multiple of the network's stride apart, and what lies beyond the image is its
    mirror image, so that every output pixel is computed from the pixels, and by the poolings, that
    a run of the whole mirrored image would use.

    Shapes: (B, H, W, C) uint8 → (B, H, W, n), or (B, H, W) from a network that puts out classes.

    Args:
        run: (B, *window, C) uint8 → its output, which lacks `margin` on each side.
        margin: (rows, columns) that the output lacks on each side.
        multiple: stride of the network's deepest map, in pixels.
    """
    height, width = images.shape[1:3]
    tops, lefts = (
        meeting_positions(size, full - 2 * lost, multiple)
        for size, full, lost in zip((height, width), window, margin, strict=True)
    )
    reach = (tops[-1] + window[0], lefts[-1] + window[1])
    padding = [
        (lost, max(0, end - lost - size))
        for lost, end, size in zip(margin, reach, (height, width), strict=True)
    ]
    padded = np.pad(images, [(0, 0), *padding, (0, 0)], mode="reflect")
    result = None
    for top in tops:
        for left in lefts:
            scores = run(padded[:, top : top + window[0], left : left + window[1]])
            if result is None:
                result = np.empty((len(images), height, width, *scores.shape[3:]), scores.dtype)
            place = result[:, top : top + scores.shape[1], left : left + scores.shape[2]]
            place[...] = scores[:, : place.shape[1], : place.shape[2]]
    return result


def meeting_positions(size: int, inner: int, multiple: int) -> list[int]:
    """Where windows begin that put out `inner` pixels each: multiples, which leave no gap.

    Raises: ValueError for a window that puts out less than the stride of the network.
    """
    step = inner // multiple * multiple
    if inner >= size:
        return [0]
    if step == 0:
        raise ValueError(
            f"Windows must put out at least {multiple} pixels to meet. Received: windows that put "
            f"out {inner}. Export the network at a larger size."
        )
    return list(range(0, size - inner + step, step))


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


def gaussian(length: int) -> np.ndarray:
    """Weights of a window's rows or columns: 1 in the middle, never quite 0 at the edge."""
    offset = np.arange(length, dtype=np.float32) - (length - 1) / 2
    return np.maximum(np.exp(-0.5 * (offset / (SIGMA * length)) ** 2), 1e-3).astype(np.float32)
