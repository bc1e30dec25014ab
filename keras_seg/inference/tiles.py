"""Large images by windows: overlapping and averaged, or, without padding, meeting exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product

import numpy as np

STEP = 0.5
"""Distance of neighbouring windows, as a part of the window."""
SIGMA = 1 / 8
"""Deviation of the Gaussian weights, as a part of the window."""


def tiled_probabilities(
    run: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    window: tuple[int, int],
    head: str,
    num_classes: int,
    at_once: int = 1,
    multi_label: bool = False,
) -> np.ndarray:
    """Class probabilities of images of one size by a network that sees windows of them.

    Shapes: (B, H, W, C) uint8 → (B, H, W, num_classes) float32; (B, H, W, 1) for a single logit.

    Args:
        run: (n, *window, C) uint8 → what the network puts out, at the size of the windows.
        head: "logits", "probabilities" or "argmax": what the network puts out.
        at_once: windows that the network sees together, at most.
        multi_label: whether each channel is a label of its own.
    """
    height, width = images.shape[1:3]
    padding = [(0, max(0, full - size)) for full, size in zip(window, (height, width), strict=True)]
    images = np.pad(images, [(0, 0), *padding, (0, 0)], mode="edge")
    weight = np.outer(*(gaussian(length) for length in window))[..., None]
    tops, lefts = (positions(n, w) for n, w in zip(images.shape[1:3], window, strict=True))
    total, weights = None, np.zeros((*images.shape[:3], 1), np.float32)
    for some in groups(list(product(range(len(images)), tops, lefts)), at_once):
        places = [np.s_[i, top : top + window[0], left : left + window[1]] for i, top, left in some]
        scores = run(np.stack([images[place] for place in places]))
        for place, found in zip(places, scores, strict=True):
            probabilities = to_probabilities(found, head, num_classes, multi_label)
            if total is None:
                total = np.zeros((*images.shape[:3], probabilities.shape[-1]), np.float32)
            total[place] += weight * probabilities
            weights[place] += weight
    return (total / weights)[:, :height, :width]


def overlap_tiled(
    run: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    window: tuple[int, int],
    margin: tuple[int, int],
    multiple: int,
    at_once: int = 1,
) -> np.ndarray:
    """The overlap-tile strategy of the U-Net paper: what a network without padding says of images.

    Windows begin a multiple of the network's stride apart, and what lies beyond the image is its
    mirror image, so that every output pixel is computed from the pixels, and by the poolings, that
    a run of the whole mirrored image would use.

    Shapes: (B, H, W, C) uint8 → (B, H, W, n), or (B, H, W) from a network that puts out classes.

    Args:
        run: (n, *window, C) uint8 → its output, which lacks `margin` on each side.
        margin: (rows, columns) that the output lacks on each side.
        multiple: stride of the network's deepest map, in pixels.
        at_once: windows that the network sees together, at most.
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
    for some in groups(list(product(range(len(images)), tops, lefts)), at_once):
        windows = [
            padded[i, top : top + window[0], left : left + window[1]] for i, top, left in some
        ]
        scores = run(np.stack(windows))
        if result is None:
            result = np.empty((len(images), height, width, *scores.shape[3:]), scores.dtype)
        for (i, top, left), found in zip(some, scores, strict=True):
            place = result[i, top : top + found.shape[0], left : left + found.shape[1]]
            place[...] = found[: place.shape[0], : place.shape[1]]
    return result


def groups(items: Sequence, at_most: int) -> Iterator[Sequence]:
    """Neighbours together, at most so many and evenly: a single one left over needs a new graph."""
    count = -(-len(items) // at_most)
    ends = [len(items) * i // count for i in range(count + 1)]
    for start, end in pairwise(ends):
        yield items[start:end]


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


def to_probabilities(
    scores: np.ndarray, head: str, num_classes: int, multi_label: bool = False
) -> np.ndarray:
    """(H, W, num_classes) or (H, W) output of a network → probabilities of every class.

    Probabilities stay as they are, also those of several sigmoids, whose sum is not 1.
    """
    if head == "argmax":
        return np.eye(num_classes, dtype=np.float32)[scores]
    if head == "probabilities":
        return scores
    if scores.shape[-1] == 1 or multi_label:
        with np.errstate(over="ignore"):  # exp of a large number is infinite, its inverse 0
            return 1 / (1 + np.exp(-scores))
    exponent = np.exp(scores - scores.max(-1, keepdims=True))
    return exponent / exponent.sum(-1, keepdims=True)


def gaussian(length: int) -> np.ndarray:
    """Weights of a window's rows or columns: 1 in the middle, never quite 0 at the edge."""
    offset = np.arange(length, dtype=np.float32) - (length - 1) / 2
    return np.maximum(np.exp(-0.5 * (offset / (SIGMA * length)) ** 2), 1e-3).astype(np.float32)
