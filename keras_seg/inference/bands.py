"""Predictions as bands of rows, from the top: of large images in memory that does not grow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from keras_seg.data.reading.resize import resize_image
from keras_seg.data.reading.rows import ImageRows
from keras_seg.inference.prediction import (
    check_threshold,
    mask_of,
    network_size,
    resize_scores,
    resized_scores,
    resolve_sizing,
)
from keras_seg.inference.runner import Runner
from keras_seg.inference.tiles import (
    gaussian,
    groups,
    meeting_positions,
    positions,
    to_probabilities,
)
from keras_seg.inference.views import (
    TestTimeAugmentation,
    averaged_probabilities,
    every_class,
    probabilities_of,
)

WHOLE_PIXELS = 2**23
"""Images of more pixels, about 2900x2900, are predicted by windows and in bands."""
WINDOW = 1024
"""Height and width of the windows of a large image that a network of free size sees."""

ROWS = 64
"""Height of the bands that windows leave, at most."""


class Band(NamedTuple):
    """Rows of an image and what was predicted there.

    image (n, W, C) uint8; mask (n, W) uint8, or (n, W, labels) by a multi-label network;
    probabilities (n, W, num_classes) float32, or None from a network that puts out classes alone.
    """

    image: np.ndarray
    mask: np.ndarray
    probabilities: np.ndarray | None


def predict_bands(
    runner: Runner,
    rows: ImageRows,
    *,
    sizing: str = "auto",
    tta: TestTimeAugmentation | None = None,
    threshold: float = 0.5,
) -> Iterator[Band]:
    """The prediction of a large image from its top to its bottom.

    A network that sees images at their own scale gets windows, of its own size or of 1024 pixels,
    with Gaussian weights as `tiled_probabilities`; one without padding overlap-tiles. Memory grows
    with the width of the image and the number of classes, not with its height. A network that sees
    images resized needs the whole image in memory, but only bands of its scores.

    Args:
        tta: flips, of every window; scales are for images that are predicted as wholes.
        threshold: as of `Runner.predict`.

    Raises: ValueError for test-time augmentation that a large image cannot have.
    """
    check_threshold(runner, threshold)
    free = runner.input_shape[:2] == (None, None)
    trained = runner.card.image_size
    rescaled = resolve_sizing(sizing, runner.card) == "resize" and not (free and trained is None)
    if tta is not None and (tta.scales != (1.0,) or rescaled or any(runner.margin)):
        raise ValueError(
            f"An image of {rows.shape[0]}x{rows.shape[1]} pixels is predicted by windows, which "
            "have flips, but no scales, and nothing where images are resized or the network has "
            "no padding. Leave them out, or cut the image into smaller ones."
        )
    if rescaled:
        return _resized_bands(runner, rows, trained, threshold)
    if any(runner.margin):
        return _meeting_bands(runner, rows, threshold)
    return _blended_bands(runner, rows, tta, threshold)


def _window(runner: Runner, size: tuple[int, int]) -> tuple[int, int]:
    limited = tuple(min(length, WINDOW) for length in size)
    return network_size(runner, limited)


def _blended_bands(runner: Runner, rows: ImageRows, tta, threshold: float) -> Iterator[Band]:
    height, width, _ = rows.shape
    window = _window(runner, (height, width))
    down, across = (gaussian(length) for length in window)
    weight = np.outer(down, across)[..., None]
    tops, lefts = (positions(max(n, w), w) for n, w in zip((height, width), window, strict=True))
    shape = (window[0], max(width, window[1]))
    total, down_sum, across_sum = None, np.zeros(shape[0]), np.zeros(shape[1])
    for left in lefts:
        across_sum[left : left + window[1]] += across
    for top, following in zip(tops, (*tops[1:], tops[-1] + window[0]), strict=True):
        image = rows.read(top, min(top + window[0], height))
        for some in groups(lefts, runner.at_once(window)):
            parts = np.stack([_filled(image, left, window) for left in some])
            for left, found in zip(some, _probabilities(runner, parts, tta), strict=True):
                if total is None:
                    total = np.zeros((*shape, found.shape[-1]), np.float32)
                total[:, left : left + window[1]] += weight * found
        down_sum += down
        done = following - top
        for row in range(0, min(done, height - top), ROWS):
            part = slice(row, min(row + ROWS, done, height - top))
            weights = np.outer(down_sum[part], across_sum[:width]).astype(np.float32)
            probabilities = total[part, :width] / weights[..., None]
            if not runner.card.multi_label:
                probabilities = every_class(probabilities)
            mask = mask_of(runner, probabilities, "probabilities", threshold)
            yield Band(image[part], mask, None if runner.card.head == "argmax" else probabilities)
        for array in (total, down_sum):  # what later windows add to moves up
            array[:-done] = array[done:]
            array[-done:] = 0


def _filled(image: np.ndarray, left: int, window: tuple[int, int]) -> np.ndarray:
    """A window of rows; where the image is smaller its border is repeated."""
    part = image[:, left : left + window[1]]
    gaps = [(0, full - n) for full, n in zip(window, part.shape, strict=False)]
    return np.pad(part, [*gaps, (0, 0)], mode="edge") if np.any(gaps) else part


def _probabilities(runner: Runner, parts: np.ndarray, tta) -> Sequence[np.ndarray]:
    if tta is not None:
        return averaged_probabilities(runner, parts, "tile", tta)
    scores = resized_scores(runner.run_batch(parts), parts.shape[1:3])
    multi_label = runner.card.multi_label
    return [
        to_probabilities(each, runner.card.head, runner.num_classes, multi_label) for each in scores
    ]


def _meeting_bands(runner: Runner, rows: ImageRows, threshold: float) -> Iterator[Band]:
    (height, width, _), margin, head = rows.shape, runner.margin, runner.card.head
    window = _window(runner, (height, width))
    tops, lefts = (
        meeting_positions(n, full - 2 * lost, runner.size_rule[0])
        for n, full, lost in zip((height, width), window, margin, strict=True)
    )
    columns = _mirrored(np.arange(-margin[1], lefts[-1] + window[1] - margin[1]), width)
    for top in tops:
        lines = _mirrored(np.arange(top - margin[0], top + window[0] - margin[0]), height)
        first = lines.min()
        image = rows.read(first, lines.max() + 1)
        padded = image[lines - first][:, columns]
        parts = []
        for some in groups(lefts, runner.at_once(window)):
            parts += [*runner.run_batch(np.stack([padded[:, n : n + window[1]] for n in some]))]
        steps = [after - before for before, after in pairwise(lefts)]
        inner = [part[:, :n] for part, n in zip(parts, (*steps, width - lefts[-1]), strict=True)]
        below = tops[tops.index(top) + 1] if top != tops[-1] else height
        scores = np.concatenate(inner, 1)[: below - top]
        yield _band(runner, image[top - first : below - first], scores, head, threshold)


def _mirrored(indices: np.ndarray, length: int) -> np.ndarray:
    """Where `np.pad(..., mode="reflect")` takes the pixels of these places from."""
    period = max(1, 2 * (length - 1))
    folded = np.abs(indices) % period
    return np.minimum(folded, period - folded) if length > 1 else np.zeros_like(indices)


def _resized_bands(runner: Runner, rows: ImageRows, trained, threshold: float) -> Iterator[Band]:
    height, width, _ = rows.shape
    image = rows.read(0, height)
    full = network_size(runner, trained or (height, width))
    inner = tuple(n - 2 * lost for n, lost in zip(full, runner.margin, strict=True))
    small = np.pad(
        resize_image(image, inner), [*((m, m) for m in runner.margin), (0, 0)], mode="reflect"
    )
    scores = runner.run(small)
    wide = resize_scores(scores, (scores.shape[0], width))
    step = max(1, WHOLE_PIXELS // (4 * width))
    for top in range(0, height, step):
        bottom = min(top + step, height)
        part = _stretched(wide, top, bottom, height)
        yield _band(runner, image[top:bottom], part, runner.card.head, threshold)


def _stretched(scores: np.ndarray, top: int, bottom: int, height: int) -> np.ndarray:
    """Rows top .. bottom - 1 of scores stretched to that height, half-pixel grid, linearly."""
    last = len(scores) - 1
    places = (np.arange(top, bottom) + 0.5) * (last + 1) / height - 0.5
    if scores.ndim == 2:
        return scores[np.clip(np.floor(places + 0.5), 0, last).astype(int)]
    places = np.clip(places, 0, last)
    above = np.minimum(places.astype(int), max(0, last - 1))
    share = (places - above).astype(np.float32)[:, None, None]
    return scores[above] * (1 - share) + scores[np.minimum(above + 1, last)] * share


def _band(
    runner: Runner, image: np.ndarray, scores: np.ndarray, head: str, threshold: float
) -> Band:
    probabilities = None if head == "argmax" else probabilities_of(runner, scores, head)
    return Band(image, mask_of(runner, scores, head, threshold), probabilities)
