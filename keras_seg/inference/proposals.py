"""DeconvNet's prediction with object proposals.

Noh, Hong, Han: Learning Deconvolution Network for Semantic Segmentation, ICCV 2015,
arXiv:1505.04366, section 4.3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_seg.data.wrappers.resized import resize_image
from keras_seg.inference.prediction import Runner
from keras_seg.inference.scores import mask_of, resize_scores
from keras_seg.inference.tiles import even_groups, positions

SIDE = 224
"""Height and width to which the paper resizes proposals."""
COMBINATIONS = {"max": np.maximum, "mean": np.add}

Box = tuple[int, int, int, int]


def grid_proposals(size: tuple[int, int], divisors: Sequence[int] = (1, 2, 4)) -> list[Box]:
    """(top, left, bottom, right) of windows of 1, 1/2 and 1/4 of an image, half a window apart."""
    boxes = []
    for divisor in divisors:
        tall, wide = (max(1, -(-length // divisor)) for length in size)
        for top in positions(size[0], tall):
            boxes += [(top, left, top + tall, left + wide) for left in positions(size[1], wide)]
    return boxes


def predict_by_proposals(
    runner: Runner,
    image: object,
    boxes: Sequence[Box] | None = None,
    *,
    combination: str = "max",
) -> np.ndarray:
    """The mask from the network's scores for many parts of an image.

    Each part is resized to the network's size, 224 pixels for a network of free size, and its
    scores back. Outside of the part the scores are 0. The largest score, or the mean, decides
    each pixel.

    Shapes: (H, W, C) or grey (H, W) uint8 → (H, W) uint8.
    Differs from the paper: windows on a grid instead of the 50 best of 2,000 edge boxes; no FCN
    ensemble and no conditional random field.

    Args:
        runner: for a network with padding that outputs logits of exclusive classes.
        image: as for `Runner.predict`.
        boxes: (top, left, bottom, right) in pixels, such as edge boxes; None for `grid_proposals`.
        combination: "max" or "mean".

    Raises: ValueError for a box outside the image, another combination, or a network that puts
        out no logits of several classes.

    Example:
        >>> model = keras_seg.models.unet((32, 32, 3), 3, widths=(4, 8))
        >>> runner = keras_seg.inference.load(model)
        >>> image = np.zeros((40, 60, 3), np.uint8)
        >>> keras_seg.inference.predict_by_proposals(runner, image).shape
        (40, 60)
    """
    check_proposals(runner, combination)
    image = runner.pixels_of(image)
    boxes = grid_proposals(image.shape[:2]) if boxes is None else boxes
    if not len(boxes):
        raise ValueError("There must be at least one box. Received: none.")
    total, size = None, runner.network_size((SIDE, SIDE))
    for group in even_groups(boxes, runner.at_once(size)):
        parts = np.stack([resize_image(_part(image, box), size) for box in group])
        for box, scores in zip(group, runner.run_batch(parts), strict=True):
            top, left, bottom, right = box
            scores = resize_scores(scores, (bottom - top, right - left))
            if total is None:
                total = np.zeros((*image.shape[:2], scores.shape[-1]), np.float32)
            place = total[top:bottom, left:right]
            place[...] = COMBINATIONS[combination](place, scores)
    assert total is not None  # because there is a box
    return mask_of(runner, total, "logits")


def _part(image: np.ndarray, box: Box) -> np.ndarray:
    top, left, bottom, right = box
    part = image[top:bottom, left:right]
    if min(box) < 0 or part.shape[:2] != (bottom - top, right - left) or not part.size:
        raise ValueError(
            f"A box is (top, left, bottom, right) within {image.shape[:2]}. Received: {box}"
        )
    return part


def check_proposals(runner: Runner, combination: str) -> None:
    """Raises ValueError for another combination, or for scores that cannot be combined."""
    if combination not in COMBINATIONS:
        raise ValueError(
            f"combination must be one of {tuple(COMBINATIONS)}. Received: {combination!r}"
        )
    if runner.card.head != "logits" or runner.card.multi_label or any(runner.margin):
        raise ValueError(
            "Proposals need logits from a network with padding whose classes exclude "
            f"each other. Received: head {runner.card.head!r}, multi_label="
            f"{runner.card.multi_label}, margin {runner.margin}."
        )
