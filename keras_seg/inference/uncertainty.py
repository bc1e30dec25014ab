"""Bayesian SegNet: the prediction for an image of any size, and its uncertainty.

Kendall, Badrinarayanan, Cipolla: Bayesian SegNet, BMVC 2017, arXiv:1511.02680.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_seg.inference.prediction import Runner
from keras_seg.inference.scores import Threshold, both_classes, check_threshold, mask_of
from keras_seg.inference.sizing import scores_at_image_size

LARGEST_DEVIATION = 0.5
"""Largest standard deviation of values between 0 and 1."""


class Uncertain(NamedTuple):
    """A prediction with its uncertainty.

    Attributes:
        mask: (H, W) uint8, or (H, W, num_classes) for labels.
        probabilities: (H, W, num_classes) float32, the mean over the samples.
        deviation: (H, W) float32 from 0 to 0.5: the square root of the variance over the samples,
            averaged over the classes.
    """

    mask: np.ndarray
    probabilities: np.ndarray
    deviation: np.ndarray


def predict_uncertainty(
    runner: Runner,
    image: object,
    *,
    samples: int = 40,
    sizing: str = "auto",
    threshold: Threshold | None = None,
) -> Uncertain:
    """The mean and the spread of predictions with Monte Carlo dropout.

    Shapes: (H, W, C) or grey (H, W) uint8 → maps of its size.
    Differs from the paper: returns the standard deviation instead of the variance, so that small
    values are visible.

    Args:
        runner: for a .keras file whose network has dropout at inference, such as
            `models.segnet(..., bayesian=True)`. Exported files have no dropout.
        image: as for `Runner.predict`.
        samples: number of dropout samples; the paper finds no gain beyond 40.
        sizing, threshold: see `Runner.predict`.

    Raises: ValueError for a runner of another format, or a network without such dropout.

    Example:
        >>> model = keras_seg.models.segnet((32, 32, 3), 2, bayesian=True)
        >>> runner = keras_seg.inference.load(model)
        >>> image = np.zeros((32, 32, 3), np.uint8)
        >>> keras_seg.inference.predict_uncertainty(runner, image, samples=2).deviation.shape
        (32, 32)
    """
    check_has_dropout(runner)
    check_threshold(runner, threshold)
    multi_label = runner.card.multi_label
    # imports TensorFlow
    from keras_seg.models.uncertainty import predict_with_uncertainty

    def run(images: np.ndarray) -> np.ndarray:
        mean, variance = predict_with_uncertainty(
            runner.model, images, samples=samples, multi_label=multi_label
        )
        return np.concatenate([mean, variance], -1)

    images = runner.pixels_of(image)[None]
    both, _ = scores_at_image_size(runner, images, sizing, run=run, head="probabilities")
    mean, variance = np.split(both[0], 2, axis=-1)
    probabilities = mean if multi_label else both_classes(mean)
    deviation = np.sqrt(variance.mean(-1)).clip(0, LARGEST_DEVIATION)
    mask = mask_of(runner, probabilities, "probabilities", threshold)
    return Uncertain(mask, probabilities, deviation)


def check_has_dropout(runner: Runner) -> None:
    """Raises ValueError unless the runner's network has dropout at inference."""
    if runner.format != "keras":
        raise ValueError(
            f"Uncertainty needs dropout, which exported files do not have. Received: {runner.path}."
            " Give the .keras file."
        )
    if not runner.draws_random_numbers:
        raise ValueError(
            "Uncertainty needs dropout at inference. Received: "
            f"{runner.model.name!r}, which has none. Build the network with bayesian=True."
        )
