"""The mask of an image of any size, by a network of any size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from keras_seg.card import ModelCard
from keras_seg.data.resized import resize_image
from keras_seg.inference.runner import Runner
from keras_seg.inference.tiles import tiled_probabilities

SIZINGS = ("auto", "resize", "tile")
"""How an image meets a network: as in its training, resized, or in overlapping windows."""


def predict(runner: Runner, image: np.ndarray, *, sizing: str = "auto") -> np.ndarray:
    """The class of every pixel of an image.

    Args:
        sizing: how the image meets the network.
            "resize": the image is resized to the network's size, its scores back to the image's.
            "tile": windows of the network's size, half a window apart, see the image at its own
            scale; their probabilities are averaged, the middle of a window counting most.
            "auto": as in training, which the card tells: "resize" if images were resized to one
            size, "tile" if they kept their scale; "resize" for a foreign file.

    A network of free size is resized to where it was trained at one size and otherwise sees the
    image as it is, mirrored at the lower and right edge up to the next size that it takes.

    Shapes: (H, W, C) or grey (H, W) uint8 → (H, W) uint8.

    Raises: ValueError for an image that is not uint8 or has channels that the network cannot take,
    and for another sizing.
    """
    return predict_by(runner.run, runner, image, sizing)


def predict_by(
    run: Callable[[np.ndarray], np.ndarray], runner: Runner, image: np.ndarray, sizing: str
) -> np.ndarray:
    """`predict` with `run` called in place of `runner.run`, so that a caller can watch it."""
    sizing = resolve_sizing(sizing, runner.card)
    image = with_channels(image, runner.input_shape[2])
    trained_size, head = runner.card.image_size, runner.card.head
    free = runner.input_shape[:2] == (None, None)
    rescaled = sizing == "resize" and trained_size is not None
    size = network_size(runner, trained_size if rescaled else image.shape[:2])

    def run_full(part):  # scores of a network that puts out a coarser map
        return resize_scores(run(part), part.shape[:2])

    if free and not rescaled:
        return class_map(_padded(run_full, image, size), head)
    if sizing == "tile":
        scores = tiled_probabilities(run_full, image, size, head, runner.num_classes)
        return class_map(scores, "probabilities")
    scores = run(resize_image(image, size))
    return class_map(resize_scores(scores, image.shape[:2]), head)


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


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """The image as (H, W, channels); grey is repeated for a network that sees colour.

    Raises: ValueError for an image that is not uint8 or whose channels do not fit.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(
            "An image must be uint8 pixels of shape (height, width) or (height, width, channels). "
            f"Received: {image.dtype} of shape {image.shape}"
        )
    image = image if image.ndim == 3 else image[..., None]
    if image.shape[2] == channels:
        return image
    if image.shape[2] == 1 and channels == 3:
        return np.repeat(image, 3, axis=2)
    mode = {1: "L", 3: "RGB"}.get(channels)
    remedy = f" Convert it first: Image.open(path).convert({mode!r})." if mode else ""
    raise ValueError(
        f"The network takes images of {channels} channels. Received: {image.shape[2]} channels"
        f"{' (transparency?)' if image.shape[2] in (2, 4) else ''}.{remedy}"
    )


def network_size(runner: Runner, size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) at which a runner sees a size: its own, or the next one that it takes."""
    multiple = runner.size_multiple
    return tuple(
        fixed if fixed is not None else -(-given // multiple) * multiple
        for fixed, given in zip(runner.input_shape, size, strict=False)
    )


def class_map(scores: np.ndarray, head: str) -> np.ndarray:
    """(H, W, num_classes) scores, or (H, W) classes → (H, W) uint8 classes.

    A single score means two classes: the second where the logit > 0 or the probability > 0.5.
    """
    if scores.ndim == 2:
        return scores
    if scores.shape[-1] == 1:
        return (scores[..., 0] > (0 if head == "logits" else 0.5)).astype(np.uint8)
    return scores.argmax(-1).astype(np.uint8)


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


def _padded(run: Callable, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    height, width = image.shape[:2]
    padding = ((0, size[0] - height), (0, size[1] - width), (0, 0))
    return run(np.pad(image, padding, mode="reflect"))[:height, :width]
