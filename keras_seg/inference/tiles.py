"""Large images in windows: overlapping and averaged or, without padding, meeting exactly.

Half a window apart, a line of 110 pixels and windows of 64 gives three windows, at 0, 23 and 46:
the last one ends at pixel 110, and neighbours are 23 pixels apart, less than half a window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product

import numpy as np

from keras_seg.inference.scores import FEW_CLASSES, to_probabilities

STEP = 0.5
"""Largest distance of neighbouring windows, as a share of the window."""
SIGMA = 1 / 8
"""Standard deviation of the Gaussian weights, as a share of the window."""


def tiled_probabilities(
    run: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    window: tuple[int, int],
    head: str,
    num_classes: int,
    at_once: int = 1,
    multi_label: bool = False,
) -> np.ndarray:
    """Class probabilities of images of one size, by a network that sees windows of them.

    Shapes: (B, H, W, C) uint8 → (B, H, W, num_classes) float32; (B, H, W, 1) for a single logit.

    Args:
        run: (n, *window, C) uint8 → the output of the network, at the size of the windows.
        window: (height, width) in pixels.
        head: "logits", "probabilities" or "argmax": what the network outputs.
        at_once: maximum number of windows in one run.
        multi_label: whether each channel is an independent label.
    """
    height, width = images.shape[1:3]
    padding = [(0, max(0, full - size)) for full, size in zip(window, (height, width), strict=True)]
    images = np.pad(images, [(0, 0), *padding, (0, 0)], mode="edge")
    weight = window_weights(window)
    tops, lefts = (positions(n, w) for n, w in zip(images.shape[1:3], window, strict=True))
    total, weights = None, np.zeros((*images.shape[1:3], 1), np.float32)
    for group in even_groups(list(product(range(len(images)), tops, lefts)), at_once):
        places = [
            np.s_[i, top : top + window[0], left : left + window[1]] for i, top, left in group
        ]
        windows = [images[place] for place in places]
        scores = run(np.stack(windows) if len(windows) > 1 else windows[0][None])
        for place, window_scores in zip(places, scores, strict=True):
            probabilities = to_probabilities(window_scores, head, num_classes, multi_label)
            if total is None:
                total = np.zeros((*images.shape[:3], probabilities.shape[-1]), np.float32)
                weight = np.repeat(weight, probabilities.shape[-1], axis=-1)
            total[place] += weight * probabilities
            if place[0] == 0:  # the weights of all images are equal
                weights[place[1:]] += weight[..., :1]
    assert total is not None  # because there is a window
    return divided(total, weights)[:, :height, :width]


def window_weights(window: tuple[int, int]) -> np.ndarray:
    """(height, width, 1) float32 weights of the pixels of a window."""
    return np.outer(*(gaussian(length) for length in window))[..., None]


def divided(total: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(..., n) sums divided in place by (..., 1) weights.

    Few classes are divided one by one, because NumPy is slow along a short last axis.
    """
    if total.shape[-1] > FEW_CLASSES:
        total /= weights
        return total
    for each in np.moveaxis(total, -1, 0):
        each /= weights[..., 0]
    return total


def overlap_tiled(
    run: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    window: tuple[int, int],
    margin: tuple[int, int],
    multiple: int,
    at_once: int = 1,
) -> np.ndarray:
    """The overlap-tile strategy of the U-Net paper: the output of a network without padding.

    Windows begin at multiples of the network's stride. Outside of the image its mirror image is
    used. Every output pixel is then computed from the same pixels, and with the same pooling grid,
    as in one run over the whole mirrored image.

    Shapes: (B, H, W, C) uint8 → (B, H, W, n), or (B, H, W) from a network that outputs classes.

    Args:
        run: (n, *window, C) uint8 → the output, which lacks `margin` on each side.
        window: (height, width) in pixels.
        margin: (rows, columns) that the output lacks on each side.
        multiple: stride of the network's deepest map, in pixels.
        at_once: maximum number of windows in one run.
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
    for group in even_groups(list(product(range(len(images)), tops, lefts)), at_once):
        windows = [
            padded[i, top : top + window[0], left : left + window[1]] for i, top, left in group
        ]
        scores = run(np.stack(windows))
        if result is None:
            result = np.empty((len(images), height, width, *scores.shape[3:]), scores.dtype)
        for (i, top, left), inner in zip(group, scores, strict=True):
            place = result[i, top : top + inner.shape[0], left : left + inner.shape[1]]
            place[...] = inner[: place.shape[0], : place.shape[1]]
    return result


def even_groups(items: Sequence, at_most: int) -> Iterator[Sequence]:
    """Consecutive items in groups of about equal size: a leftover window would need a new graph."""
    count = -(-len(items) // at_most)
    ends = [len(items) * i // count for i in range(count + 1)]
    for start, end in pairwise(ends):
        yield items[start:end]


def meeting_positions(size: int, inner: int, multiple: int) -> list[int]:
    """Starts of windows that output `inner` pixels each and leave no gap, as multiples.

    Raises: ValueError for windows that output less than the stride of the network.
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
    """Starts of evenly spaced windows, at most STEP of a window apart, the last at the very end."""
    steps = int(np.ceil((size - window) / (STEP * window)))
    return np.linspace(0, size - window, steps + 1).round().astype(int).tolist()


def gaussian(length: int) -> np.ndarray:
    """Weights of a window's rows or columns: 1 in the middle, at least 0.001 at the edge."""
    offset = np.arange(length, dtype=np.float32) - (length - 1) / 2
    return np.maximum(np.exp(-0.5 * (offset / (SIGMA * length)) ** 2), 1e-3).astype(np.float32)
