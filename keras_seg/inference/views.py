"""Batches of images, and test-time augmentation: flips and scales, probabilities averaged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from keras_seg.inference.prediction import check_threshold, mask_of, scores_by
from keras_seg.inference.tiles import to_probabilities

if TYPE_CHECKING:
    from keras_seg.inference.runner import Runner

FLIPS = {"none": ((),), "horizontal": ((), (2,)), "both": ((), (2,), (1,), (1, 2))}
"""Axes of (B, H, W, C) images that each view is turned along."""


@dataclass(frozen=True)
class TestTimeAugmentation:
    """Views of an image whose probabilities are averaged.

    In a mirror image left and right classes ("left eye", "right eye") are exchanged, too.

    Args:
        flips: "none", "horizontal" (the image and its mirror image), or "both" (also upside down).
        scales: the network sees the image so many times as large; for networks that see images at
            their own scale, or .keras files.

    Raises: ValueError for other flips, or scales that are not above 0.
    """

    __test__ = False  # no test, whatever pytest makes of the name

    flips: str = "horizontal"
    scales: tuple[float, ...] = (1.0,)

    def __post_init__(self):
        scales = tuple(float(scale) for scale in self.scales)
        if self.flips not in FLIPS:
            raise ValueError(f"flips must be one of {tuple(FLIPS)}. Received: {self.flips!r}")
        if not scales or not all(0 < scale < float("inf") for scale in scales):
            raise ValueError(f"scales are factors above 0, such as (0.75, 1). Received: {scales}")
        object.__setattr__(self, "scales", scales)


def predict_batch(
    runner: Runner,
    images: np.ndarray,
    probabilities: bool,
    sizing: str,
    tta: TestTimeAugmentation | None,
    threshold: float = 0.5,
) -> np.ndarray:
    """`Runner.predict` of images of one size: (B, H, W[, C]) → (B, H, W[, num_classes])."""
    check_threshold(runner, threshold)
    images = np.stack([runner.pixels_of(image) for image in images])
    if tta is None and not probabilities:
        scores, head = scores_by(runner.run_batch, runner, images, sizing)
        return np.stack([mask_of(runner, each, head, threshold) for each in scores])
    if probabilities and runner.card.head == "argmax":
        raise ValueError(
            f"{runner.path or 'The model'} puts out classes, so that it has no probabilities. "
            "Export it with --head logits or probabilities."
        )
    found = averaged_probabilities(runner, images, sizing, tta)
    return found if probabilities else mask_of(runner, found, "probabilities", threshold)


def averaged_probabilities(
    runner: Runner, images: np.ndarray, sizing: str, tta: TestTimeAugmentation | None
) -> np.ndarray:
    """(B, H, W, C) uint8 → (B, H, W, num_classes) float32, the mean over the views."""
    tta = tta or TestTimeAugmentation("none")
    mirrored = list(runner.card.classes.mirrored())
    total, views = 0.0, 0
    for scale in tta.scales:
        for axes in FLIPS[tta.flips]:
            turned = np.flip(images, axes)
            scores, head = scores_by(runner.run_batch, runner, turned, sizing, scale=scale)
            found = probabilities_of(runner, scores, head)
            found = np.flip(found, axes)
            total = total + (found[..., mirrored] if 2 in axes else found)
            views += 1
    return total / np.float32(views)


def probabilities_of(runner: Runner, scores: np.ndarray, head: str) -> np.ndarray:
    """(..., n) scores, or (...) classes, of a runner's network → (..., num_classes)."""
    multi_label = runner.card.multi_label
    found = to_probabilities(scores, head, runner.num_classes, multi_label)
    return found if multi_label else every_class(found)


def every_class(probabilities: np.ndarray) -> np.ndarray:
    """(..., n) probabilities; a single one, of the second class, gets the first's beside it."""
    if probabilities.shape[-1] != 1:
        return probabilities
    return np.concatenate([1 - probabilities, probabilities], -1)


def groups_of_one_shape(images: Iterable[np.ndarray], at_most: int) -> Iterator[list[np.ndarray]]:
    """Neighbours of equal shape together, at most so many."""
    group: list[np.ndarray] = []
    for image in images:
        if group and (image.shape != group[0].shape or len(group) == at_most):
            yield group
            group = []
        group.append(image)
    if group:
        yield group
