"""Test-time augmentation: averages the probabilities of flipped and scaled views of an image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_seg.inference.runner import NetworkRunner
from keras_seg.inference.scores import class_probabilities
from keras_seg.inference.sizing import scores_at_image_size

FLIPS = {"none": ((),), "horizontal": ((), (2,)), "both": ((), (2,), (1,), (1, 2))}
"""Axes of (B, H, W, C) images along which each view is flipped."""


@dataclass(frozen=True)
class TestTimeAugmentation:
    """Views of an image whose probabilities are averaged.

    In a mirrored view, left and right classes ("left eye", "right eye") are exchanged.

    Args:
        flips: "none", "horizontal" (the image and its mirror image), or "both" (also upside down).
        scales: factors by which the network sees the image enlarged; for networks that see images
            at their own scale, or .keras files.

    Raises: ValueError for other flips, or scales that are not above 0.

    Example:
        >>> tta = keras_seg.inference.TestTimeAugmentation("both", scales=(0.75, 1.0))
        >>> tta.flips, tta.scales
        ('both', (0.75, 1.0))
    """

    __test__ = False  # not a test, although pytest collects classes whose names begin with Test

    flips: str = "horizontal"
    scales: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        scales = tuple(float(scale) for scale in self.scales)
        if self.flips not in FLIPS:
            raise ValueError(f"flips must be one of {tuple(FLIPS)}. Received: {self.flips!r}")
        if not scales or not all(0 < scale < float("inf") for scale in scales):
            raise ValueError(f"scales are factors above 0, such as (0.75, 1). Received: {scales}")
        object.__setattr__(self, "scales", scales)


def averaged_probabilities(
    runner: NetworkRunner, images: np.ndarray, sizing: str, tta: TestTimeAugmentation | None
) -> np.ndarray:
    """(B, H, W, C) uint8 → (B, H, W, num_classes) float32, the mean over the views."""
    tta = tta or TestTimeAugmentation("none")
    mirrored_classes = list(runner.card.classes.mirrored())
    total, views = 0.0, 0
    for scale in tta.scales:
        for axes in FLIPS[tta.flips]:
            flipped = np.flip(images, axes)
            scores, head = scores_at_image_size(runner, flipped, sizing, scale=scale)
            probabilities = np.flip(class_probabilities(runner, scores, head), axes)
            total = total + (probabilities[..., mirrored_classes] if 2 in axes else probabilities)
            views += 1
    return total / np.float32(views)
