"""The mask of an image of any size, by a network of any size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from keras_seg.card import ModelCard
from keras_seg.data.resized import resize_image
from keras_seg.inference.tiles import overlap_tiled, tiled_probabilities, to_probabilities
from keras_seg.names import SIZINGS

if TYPE_CHECKING:
    from keras_seg.inference.runner import Runner

SUM_TOLERANCE = 0.03
"""Of two probabilities: files of int8 have steps of 1/256, and float16 rounds, too."""


def predict_by(
    run: Callable[[np.ndarray], np.ndarray],
    runner: Runner,
    image: np.ndarray,
    sizing: str,
    threshold: float = 0.5,
) -> np.ndarray:
    """`predict` with `run` called in place of `runner.run`, so that a caller can watch it."""
    check_threshold(runner, threshold)
    images = runner.pixels_of(image)[None]

    def run_each(parts):
        return np.stack([run(part) for part in parts])

    scores, head = scores_by(run_each, runner, images, sizing)
    return mask_of(runner, scores[0], head, threshold)


def scores_by(
    run: Callable[[np.ndarray], np.ndarray],
    runner: Runner,
    images: np.ndarray,
    sizing: str,
    *,
    scale: float = 1.0,
    head: str | None = None,
) -> tuple[np.ndarray, str]:
    """What a network says of images of one size, at their size, and what kind of score it is.

    Shapes: (B, H, W, C) uint8 → (B, H, W, n) scores or (B, H, W) classes.

    Args:
        run: images of a size that the runner takes → its output with the batch axis.
        scale: the network sees the images this many times as large.
        head: what `run` puts out, if it is not what the card says.

    Raises: ValueError for another sizing, or a scale where the network has but one size.
    """
    sizing, head, size = (
        resolve_sizing(sizing, runner.card),
        head or runner.card.head,
        images.shape[1:3],
    )
    trained, free = runner.card.image_size, runner.input_shape[:2] == (None, None)
    rescaled = sizing == "resize" and not (free and trained is None)
    if scale != 1 and rescaled and not free:
        raise ValueError(
            f"The network takes one size, {runner.input_shape[:2]}, to which images are resized, "
            f"so that it sees them at one scale. Received: scale {scale:g}. Leave scales out, or "
            "choose sizing='tile'."
        )

    def run_full(parts):  # scores of a network that puts out a coarser map
        return resized_scores(run(parts), parts.shape[1:3])

    if rescaled or scale != 1:
        target = (trained or size) if rescaled else size
        target = tuple(max(1, round(scale * length)) for length in target)
        if rescaled and not (free and any(runner.margin)):
            full = network_size(runner, target)
            target = tuple(n - 2 * lost for n, lost in zip(full, runner.margin, strict=True))
        images = np.stack([resize_image(image, target) for image in images])

    window = network_size(runner, images.shape[1:3])
    at_once = runner.at_once(window)
    if any(runner.margin):
        scores = overlap_tiled(run, images, window, runner.margin, runner.size_multiple, at_once)
    elif free or rescaled:
        scores = _padded(run_full, images, window)
    else:
        scores = tiled_probabilities(
            run_full,
            images,
            window,
            head,
            runner.num_classes,
            at_once,
            multi_label=runner.card.multi_label,
        )
        head = "probabilities"
    return resized_scores(scores, size), head


def check_sizing(sizing: str):
    """Raises ValueError for a sizing that does not exist."""
    if sizing not in SIZINGS:
        raise ValueError(f"sizing must be one of {SIZINGS}. Received: {sizing!r}")


def resolve_sizing(sizing: str, card: ModelCard) -> str:
    """What "auto" means for a network: "resize" or "tile"; these two stay as they are."""
    check_sizing(sizing)
    if sizing != "auto":
        return sizing
    foreign = card.network is None
    return "resize" if foreign or card.image_size else "tile"


def network_size(runner: Runner, size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) at which a runner sees a size: its own, or the next one that it takes.

    Of a network without padding it is the size with which the whole of the mask comes out.
    """
    multiple, offset, smallest = runner.size_rule
    return tuple(
        fixed
        if fixed is not None
        else offset + multiple * -(-(max(length + 2 * lost, smallest) - offset) // multiple)
        for fixed, length, lost in zip(runner.input_shape, size, runner.margin, strict=False)
    )


def check_threshold(runner: Runner, threshold: float) -> None:
    """Raises ValueError for a threshold that is none, or that the network's classes cannot have."""
    if not 0 < threshold < 1:
        raise ValueError(
            f"threshold is a probability between 0 and 1 (both excluded). Received: {threshold}"
        )
    if threshold == 0.5 or runner.card.multi_label:
        return
    what = runner.path or "The model"
    if runner.card.head == "argmax":
        raise ValueError(
            f"{what} puts out classes, which were decided at 0.5. Received: threshold={threshold}. "
            "Export it with --head logits or probabilities."
        )
    if runner.num_classes != 2:
        raise ValueError(
            f"A threshold is for two classes, or for labels of a multi-label model. Received: "
            f"threshold={threshold} for {what} with {runner.num_classes} classes that exclude each "
            "other, of which the most probable is taken. Leave threshold out."
        )


def mask_of(runner: Runner, scores: np.ndarray, head: str, threshold: float = 0.5) -> np.ndarray:
    """`class_map` of what a runner's network says."""
    return class_map(scores, head, threshold=threshold, multi_label=runner.card.multi_label)


def class_map(
    scores: np.ndarray, head: str, *, threshold: float = 0.5, multi_label: bool = False
) -> np.ndarray:
    """(H, W, num_classes) scores, or (H, W) classes → (H, W) uint8 classes.

    A single score means two classes: the second where the logit > 0 or the probability > 0.5, or
    above another threshold. Of several classes the largest decides. With multi_label every score
    is cut at the threshold: (H, W, labels) uint8 of 0 and 1.

    Raises: ValueError for another threshold where two probabilities do not have the sum 1.
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


def resized_scores(scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`resize_scores` of each of a batch."""
    if scores.shape[1:3] == tuple(size):
        return scores
    return np.stack([resize_scores(each, size) for each in scores])


def resize_scores(scores: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w, num_classes) scores bilinearly, or (h, w) classes by the nearest, → size."""
    if scores.shape[:2] == tuple(size):
        return scores
    if scores.ndim == 2:
        return np.asarray(Image.fromarray(scores).resize(size[::-1], Image.Resampling.NEAREST))
    planes = [
        np.asarray(Image.fromarray(scores[..., c]).resize(size[::-1], Image.Resampling.BILINEAR))
        for c in range(scores.shape[2])
    ]
    return np.stack(planes, -1)


def _padded(run: Callable, images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = images.shape[1:3]
    padding = ((0, 0), (0, size[0] - height), (0, size[1] - width), (0, 0))
    return run(np.pad(images, padding, mode="reflect"))[:, :height, :width]
