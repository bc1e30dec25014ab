"""Prediction in bands of rows, from top to bottom: large images in a limited amount of memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from keras_seg.data.reading.rows import ImageRows
from keras_seg.data.wrappers.resized import resize_image
from keras_seg.inference.runner import NetworkRunner
from keras_seg.inference.scores import (
    Threshold,
    both_classes,
    check_threshold,
    class_probabilities,
    mask_of,
    resize_score_batch,
    resize_scores,
    threshold_in_use,
    to_probabilities,
)
from keras_seg.inference.sizing import is_resized
from keras_seg.inference.tiles import (
    divided,
    even_groups,
    gaussian,
    meeting_positions,
    positions,
    window_weights,
)
from keras_seg.inference.views import TestTimeAugmentation, averaged_probabilities

WHOLE_PIXELS = 2**23
"""Images of more pixels, about 2900x2900, are predicted in windows and bands."""
WINDOW = 1024
"""Height and width of the windows of a large image for a network of free size."""

ROWS = 64
"""Maximum height of the bands that come from overlapping windows."""


class Band(NamedTuple):
    """Rows of an image and their prediction.

    Attributes:
        image: (n, W, C) uint8.
        mask: (n, W) uint8, or (n, W, labels) from a multi-label network.
        probabilities: (n, W, num_classes) float32; None from a network that outputs classes.
    """

    image: np.ndarray
    mask: np.ndarray
    probabilities: np.ndarray | None


def predict_in_bands(
    runner: NetworkRunner,
    rows: ImageRows,
    *,
    sizing: str = "auto",
    tta: TestTimeAugmentation | None = None,
    threshold: Threshold | None = None,
) -> Iterator[Band]:
    """The prediction of a large image, in bands from top to bottom.

    A network that sees images at their own scale sees windows of its own size, or of 1024 pixels,
    which are blended as by `tiled_probabilities`. A network without padding uses overlap-tiles.
    Memory grows with the width of the image and the number of classes, not with its height. A
    network that sees images resized needs the whole image in memory, but only bands of its scores.

    Args:
        rows: the image.
        sizing: see `Runner.predict`.
        tta: flips of every window; scales are for images that are predicted whole.
        threshold: see `Runner.predict`.

    Raises: ValueError for test-time augmentation that a large image cannot have.
    """
    check_threshold(runner, threshold)
    threshold = threshold_in_use(runner, threshold)
    resized = is_resized(runner, sizing)
    if tta is not None and (tta.scales != (1.0,) or resized or any(runner.margin)):
        raise ValueError(
            f"An image of {rows.shape[0]}x{rows.shape[1]} pixels is predicted in windows. Windows "
            "can be flipped but not scaled, and not even flipped if images are resized or the "
            "network has no padding. Leave test-time augmentation out, or cut the image into "
            "smaller ones."
        )
    if resized:
        return _resized_bands(runner, rows, threshold)
    if any(runner.margin):
        return _meeting_bands(runner, rows, threshold)
    return _blended_bands(runner, rows, tta, threshold)


def _window(runner: NetworkRunner, size: tuple[int, int]) -> tuple[int, int]:
    limited = tuple(min(length, WINDOW) for length in size)
    return runner.network_size(limited)


def _blended_bands(
    runner: NetworkRunner,
    rows: ImageRows,
    tta: TestTimeAugmentation | None,
    threshold: Threshold,
) -> Iterator[Band]:
    """Bands of overlapping windows; weighted sums of the rows that later windows still add to."""
    height, width, _ = rows.shape
    window = _window(runner, (height, width))
    weights_down, weights_across = (gaussian(length) for length in window)
    tops, lefts = (positions(max(n, w), w) for n, w in zip((height, width), window, strict=True))
    across_sum = np.zeros(max(width, window[1]))
    for left in lefts:
        across_sum[left : left + window[1]] += weights_across
    total, down_sum = None, np.zeros(window[0])
    for top, next_top in zip(tops, (*tops[1:], tops[-1] + window[0]), strict=True):
        image = rows.read(top, min(top + window[0], height))
        total = _add_windows(total, runner, image, lefts, window, tta)
        down_sum += weights_down
        done = next_top - top
        for row in range(0, min(done, height - top), ROWS):
            part = slice(row, min(row + ROWS, done, height - top))
            weights = np.outer(down_sum[part], across_sum[:width]).astype(np.float32)
            probabilities = divided(total[part, :width].copy(), weights[..., None])
            if not runner.card.multi_label:
                probabilities = both_classes(probabilities)
            mask = mask_of(runner, probabilities, "probabilities", threshold)
            yield Band(image[part], mask, None if runner.card.head == "argmax" else probabilities)
        for array in (total, down_sum):  # rows that later windows add to move to the top
            array[:-done] = array[done:]
            array[-done:] = 0


def _add_windows(
    total: np.ndarray | None,
    runner: NetworkRunner,
    image: np.ndarray,
    lefts: Sequence[int],
    window: tuple[int, int],
    tta: TestTimeAugmentation | None,
) -> np.ndarray:
    """`total` plus the weighted probabilities of a row of windows; None for a new total."""
    weight = window_weights(window)
    for group in even_groups(lefts, runner.at_once(window)):
        parts = np.stack([_padded_window(image, left, window) for left in group])
        probabilities = _window_probabilities(runner, parts, tta)
        for left, each in zip(group, probabilities, strict=True):
            if total is None:
                width = max(image.shape[1], window[1])
                total = np.zeros((window[0], width, each.shape[-1]), np.float32)
            if weight.shape != each.shape:  # once
                weight = np.repeat(weight, each.shape[-1], axis=-1)
            total[:, left : left + window[1]] += weight * each
    return total


def _padded_window(image: np.ndarray, left: int, window: tuple[int, int]) -> np.ndarray:
    """A window of the rows; where the image is smaller, its border is repeated."""
    part = image[:, left : left + window[1]]
    gaps = [(0, full - n) for full, n in zip(window, part.shape, strict=False)]
    return np.pad(part, [*gaps, (0, 0)], mode="edge") if np.any(gaps) else part


def _window_probabilities(
    runner: NetworkRunner, parts: np.ndarray, tta: TestTimeAugmentation | None
) -> Sequence[np.ndarray]:
    if tta is not None:
        return averaged_probabilities(runner, parts, "tile", tta)
    scores = resize_score_batch(runner.run_batch(parts), parts.shape[1:3])
    card = runner.card
    return [
        to_probabilities(each, card.head, runner.num_classes, card.multi_label) for each in scores
    ]


def _meeting_bands(runner: NetworkRunner, rows: ImageRows, threshold: Threshold) -> Iterator[Band]:
    """Bands of overlap-tiles, one per row of tiles."""
    (height, width, _), margin, head = rows.shape, runner.margin, runner.card.head
    window = _window(runner, (height, width))
    tops, lefts = (
        meeting_positions(n, full - 2 * lost, runner.size_rule[0])
        for n, full, lost in zip((height, width), window, margin, strict=True)
    )
    columns = _mirrored(np.arange(-margin[1], lefts[-1] + window[1] - margin[1]), width)
    steps = [after - before for before, after in pairwise(lefts)]
    for top, next_top in zip(tops, (*tops[1:], height), strict=True):
        lines = _mirrored(np.arange(top - margin[0], top + window[0] - margin[0]), height)
        first = lines.min()
        image = rows.read(first, lines.max() + 1)
        padded = image[lines - first][:, columns]
        parts: list[np.ndarray] = []
        for group in even_groups(lefts, runner.at_once(window)):
            windows = np.stack([padded[:, left : left + window[1]] for left in group])
            parts.extend(runner.run_batch(windows))
        inner = [part[:, :n] for part, n in zip(parts, (*steps, width - lefts[-1]), strict=True)]
        scores = np.concatenate(inner, 1)[: next_top - top]
        yield _band(runner, image[top - first : next_top - first], scores, head, threshold)


def _mirrored(indices: np.ndarray, length: int) -> np.ndarray:
    """The indices from which `np.pad(..., mode="reflect")` takes the pixels at `indices`."""
    period = max(1, 2 * (length - 1))
    folded = np.abs(indices) % period
    return np.minimum(folded, period - folded) if length > 1 else np.zeros_like(indices)


def _resized_bands(runner: NetworkRunner, rows: ImageRows, threshold: Threshold) -> Iterator[Band]:
    """Bands of the scores of the whole image, resized band by band."""
    height, width, _ = rows.shape
    image = rows.read(0, height)
    full = runner.network_size(runner.card.image_size or (height, width))
    inner = tuple(n - 2 * lost for n, lost in zip(full, runner.margin, strict=True))
    small = np.pad(
        resize_image(image, inner), [*((m, m) for m in runner.margin), (0, 0)], mode="reflect"
    )
    scores = runner.run(small)
    wide = resize_scores(scores, (scores.shape[0], width))
    step = max(1, WHOLE_PIXELS // (4 * width))
    for top in range(0, height, step):
        bottom = min(top + step, height)
        part = _stretched_rows(wide, top, bottom, height)
        yield _band(runner, image[top:bottom], part, runner.card.head, threshold)


def _stretched_rows(scores: np.ndarray, top: int, bottom: int, height: int) -> np.ndarray:
    """Rows top .. bottom - 1 of scores resized to `height` rows: linear, half-pixel grid."""
    last = len(scores) - 1
    places = (np.arange(top, bottom) + 0.5) * (last + 1) / height - 0.5
    if scores.ndim == 2:
        return scores[np.clip(np.floor(places + 0.5), 0, last).astype(int)]
    places = np.clip(places, 0, last)
    above = np.minimum(places.astype(int), max(0, last - 1))
    share = (places - above).astype(np.float32)[:, None, None]
    return scores[above] * (1 - share) + scores[np.minimum(above + 1, last)] * share


def _band(
    runner: NetworkRunner,
    image: np.ndarray,
    scores: np.ndarray,
    head: str,
    threshold: Threshold,
) -> Band:
    probabilities = None if head == "argmax" else class_probabilities(runner, scores, head)
    return Band(image, mask_of(runner, scores, head, threshold), probabilities)
