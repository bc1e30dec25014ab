"""DeconvNet's prediction by object proposals. Noh, Hong, Han: Learning Deconvolution Network for
Semantic Segmentation, ICCV 2015, arXiv:1505.04366, section 4.3."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_seg.data.reading.resize import resize_image
from keras_seg.inference.prediction import class_map, network_size, resize_scores
from keras_seg.inference.runner import Runner
from keras_seg.inference.tiles import groups, positions

SIDE = 224
"""Height and width that the paper resizes proposals to."""
COMBINATIONS = {"max": np.maximum, "mean": np.add}

Box = tuple[int, int, int, int]


def grid_proposals(size: tuple[int, int], parts: Sequence[int] = (1, 2, 4)) -> list[Box]:
    """(top, left, bottom, right) windows of 1, 1/2, 1/4 of an image, half of each apart."""
    boxes = []
    for part in parts:
        tall, wide = (max(1, -(-length // part)) for length in size)
        for top in positions(size[0], tall):
            boxes += [(top, left, top + tall, left + wide) for left in positions(size[1], wide)]
    return boxes


def predict_by_proposals(
    runner: Runner,
    image: np.ndarray,
    boxes: Sequence[Box] | None = None,
    *,
    combination: str = "max",
) -> np.ndarray:
    """The mask that the network's answers to many parts of an image give together.

    Each part is resized to the network's size, 224 pixels for one of free size, and its scores
    back; outside of a part they are 0. The largest score, or their mean, decides each pixel.

    Shapes: (H, W, C) or grey (H, W) uint8 → (H, W) uint8.

    Args:
        boxes: (top, left, bottom, right) in pixels, such as edge boxes; None for `grid_proposals`.
        combination: "max" or "mean".

    Differs from the paper: windows of a grid in place of the 50 best of 2,000 edge boxes; no FCN
    beside it, no conditional random field behind it.
    Raises: ValueError for a box outside the image, another combination, or a network that puts
        out no logits of several classes.
    """
    check_proposals(runner, combination)
    image = runner.pixels_of(image)
    boxes = grid_proposals(image.shape[:2]) if boxes is None else boxes
    if not len(boxes):
        raise ValueError("There must be at least one box. Received: none.")
    total, size = None, network_size(runner, (SIDE, SIDE))
    for some in groups(boxes, runner.at_once(size)):
        parts = [_part(image, box) for box in some]
        found = runner.run_batch(np.stack([resize_image(part, size) for part in parts]))
        for (top, left, bottom, right), scores in zip(some, found, strict=True):
            scores = resize_scores(scores, (bottom - top, right - left))
            if total is None:
                total = np.zeros((*image.shape[:2], scores.shape[-1]), np.float32)
            place = total[top:bottom, left:right]
            place[...] = COMBINATIONS[combination](place, scores)
    return class_map(total, "logits")


def _part(image: np.ndarray, box: Box) -> np.ndarray:
    top, left, bottom, right = box
    part = image[top:bottom, left:right]
    if min(box) < 0 or part.shape[:2] != (bottom - top, right - left) or not part.size:
        raise ValueError(
            f"A box is (top, left, bottom, right) within {image.shape[:2]}. Received: {box}"
        )
    return part


def check_proposals(runner: Runner, combination: str) -> None:
    """Raises ValueError for another combination, or scores that cannot be joined."""
    if combination not in COMBINATIONS:
        raise ValueError(
            f"combination must be one of {tuple(COMBINATIONS)}. Received: {combination!r}"
        )
    if runner.card.head != "logits" or runner.card.multi_label or any(runner.margin):
        raise ValueError(
            "Proposals are joined by the logits of a network with padding whose classes exclude "
            f"each other. Received: head {runner.card.head!r}, multi_label="
            f"{runner.card.multi_label}, margin {runner.margin}."
        )
