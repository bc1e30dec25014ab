"""Fits images of any size to a network, resized or in windows, and its scores to the image size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_seg.card import ModelCard
from keras_seg.data.wrappers.resized import resize_image
from keras_seg.inference.runner import NetworkRunner
from keras_seg.inference.scores import resize_score_batch
from keras_seg.inference.tiles import overlap_tiled, tiled_probabilities
from keras_seg.names import SIZINGS

Run = Callable[[np.ndarray], np.ndarray]
"""Images (B, H, W, C) of a size that the network takes → its output with the batch axis."""


def check_sizing(sizing: str) -> None:
    """Raises ValueError for a sizing that does not exist."""
    if sizing not in SIZINGS:
        raise ValueError(f"sizing must be one of {SIZINGS}. Received: {sizing!r}")


def resolve_sizing(sizing: str, card: ModelCard) -> str:
    """ "resize" or "tile": what "auto" means for a network; the other two stay as they are."""
    check_sizing(sizing)
    if sizing != "auto":
        return sizing
    foreign = card.network is None
    return "resize" if foreign or card.image_size else "tile"


def is_resized(runner: NetworkRunner, sizing: str) -> bool:
    """Whether images are resized for a network; a free size without a training size needs none."""
    free = runner.input_shape[:2] == (None, None)
    untrained = free and runner.card.image_size is None
    return resolve_sizing(sizing, runner.card) == "resize" and not untrained


def scores_at_image_size(
    runner: NetworkRunner,
    images: np.ndarray,
    sizing: str,
    *,
    run: Run | None = None,
    scale: float = 1.0,
    head: str | None = None,
) -> tuple[np.ndarray, str]:
    """Scores of images of one size, at the size of the images, and their kind.

    Shapes: (B, H, W, C) uint8 → (B, H, W, n) scores or (B, H, W) classes.

    Args:
        run: called instead of `runner.run_batch`.
        scale: the network sees the images enlarged by this factor.
        head: what `run` outputs, if not what the card says.

    Returns: the scores, and "logits", "probabilities" or "argmax".

    Raises: ValueError for an unknown sizing, or a scale if the network takes one size only.
    """
    run, head, size = run or runner.run_batch, head or runner.card.head, images.shape[1:3]
    resized, free = is_resized(runner, sizing), runner.input_shape[:2] == (None, None)
    if scale != 1 and resized and not free:
        raise ValueError(
            f"The network takes one size, {runner.input_shape[:2]}, to which images are resized, "
            f"so that it sees them at one scale. Received: scale {scale:g}. Leave scales out, or "
            "choose sizing='tile'."
        )
    if resized or scale != 1:
        images = _resized_images(runner, images, scale, resized)

    def run_to_input_size(parts: np.ndarray) -> np.ndarray:  # some networks output coarser maps
        return resize_score_batch(run(parts), parts.shape[1:3])

    window = runner.network_size(images.shape[1:3])
    at_once = runner.at_once(window)
    if any(runner.margin):
        scores = overlap_tiled(run, images, window, runner.margin, runner.size_multiple, at_once)
    elif free or resized:
        scores = _padded(run_to_input_size, images, window)
    else:
        multi_label = runner.card.multi_label
        scores = tiled_probabilities(
            run_to_input_size, images, window, head, runner.num_classes, at_once, multi_label
        )
        head = "probabilities"
    return resize_score_batch(scores, size), head


def _resized_images(
    runner: NetworkRunner, images: np.ndarray, scale: float, resized: bool
) -> np.ndarray:
    """Images at the size at which the network sees them, times `scale`."""
    size, free = images.shape[1:3], runner.input_shape[:2] == (None, None)
    target = (runner.card.image_size or size) if resized else size
    target = tuple(max(1, round(scale * length)) for length in target)
    if resized and not (free and any(runner.margin)):
        full = runner.network_size(target)
        target = tuple(n - 2 * lost for n, lost in zip(full, runner.margin, strict=True))
    return np.stack([resize_image(image, target) for image in images])


def _padded(run: Run, images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = images.shape[1:3]
    padding = ((0, 0), (0, size[0] - height), (0, size[1] - width), (0, 0))
    return run(np.pad(images, padding, mode="reflect"))[:, :height, :width]
