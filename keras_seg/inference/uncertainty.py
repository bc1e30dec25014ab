"""Bayesian SegNet's prediction of an image of any size, and how unsure it is.

Kendall, Badrinarayanan, Cipolla: Bayesian SegNet, BMVC 2017, arXiv:1511.02680.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_seg.inference.prediction import check_threshold, mask_of, scores_by
from keras_seg.inference.runner import Runner
from keras_seg.inference.views import every_class

LARGEST_DEVIATION = 0.5
"""Of values between 0 and 1."""


class Uncertain(NamedTuple):
    """mask: (H, W) uint8, or (H, W, num_classes) of labels.

    probabilities: (H, W, num_classes) float32, the mean over the samples.
    deviation: (H, W) float32 from 0 to 0.5, the root of their variance's mean over the classes.
    """

    mask: np.ndarray
    probabilities: np.ndarray
    deviation: np.ndarray


def predict_uncertainty(
    runner: Runner,
    image: np.ndarray,
    *,
    samples: int = 40,
    sizing: str = "auto",
    threshold: float = 0.5,
) -> Uncertain:
    """Mean and spread of the predictions of networks drawn by dropout.

    Shapes: (H, W, C) or grey (H, W) uint8 → maps of its size.

    Args:
        runner: of a .keras file whose network has dropout that stays on, as
            `models.segnet(..., bayesian=True)`; files for devices have none.
        samples: networks drawn; the paper finds no gain beyond 40.
        threshold: of two classes or of labels, see `Runner.predict`.

    Differs from the paper: the deviation is shown in place of the variance, of which it is the
    root, so that small ones can be seen.
    Raises: ValueError for a runner of another format, or a network without such dropout.
    """
    check_uncertain(runner)
    check_threshold(runner, threshold)
    multi_label = runner.card.multi_label
    # imports TensorFlow
    from keras_seg.models.uncertainty import predict_with_uncertainty

    def run(images):
        mean, variance = predict_with_uncertainty(
            runner.model, images, samples=samples, multi_label=multi_label
        )
        return np.concatenate([mean, variance], -1)

    images = runner.pixels_of(image)[None]
    both, _ = scores_by(run, runner, images, sizing, head="probabilities")
    mean, variance = np.split(both[0], 2, axis=-1)
    probabilities = mean if multi_label else every_class(mean)
    deviation = np.sqrt(variance.mean(-1)).clip(0, LARGEST_DEVIATION)
    mask = mask_of(runner, probabilities, "probabilities", threshold)
    return Uncertain(mask, probabilities, deviation)


def check_uncertain(runner: Runner) -> None:
    """Raises ValueError unless networks can be drawn from the runner's."""
    if runner.format != "keras":
        raise ValueError(
            f"Uncertainty needs dropout, which exported files do not have. Received: {runner.path}."
            " Give the .keras file."
        )
    from keras_seg.layers import MonteCarloDropout

    if not any(isinstance(layer, MonteCarloDropout) for layer in runner.model._flatten_layers()):
        raise ValueError(
            "Uncertainty needs dropout that stays on at inference. Received: "
            f"{runner.model.name!r}, which has none. Build the network with bayesian=True."
        )
