"""Predicts with a Bayesian network, and estimates the uncertainty of the prediction.

Kendall, Badrinarayanan, Cipolla: Bayesian SegNet, BMVC 2017, arXiv:1511.02680.
"""

from __future__ import annotations

import keras
import numpy as np

from keras_seg.layers import MonteCarloDropout
from keras_seg.models.inference_form import for_inference
from keras_seg.models.output_activation import model_output_activation


def predict_with_uncertainty(
    model: keras.Model,
    images: np.ndarray,
    *,
    samples: int = 40,
    batch_size: int = 4,
    multi_label: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the class probabilities over networks sampled by dropout.

    The mean is the prediction, the variance its uncertainty per class. The maps of Bayesian SegNet
    show the variance averaged over the classes.

    Shapes: images (B, H, W, C) as the model takes them → mean and variance, (B, H, W, num_classes)
    float32 each.

    Args:
        model: a network with dropout that stays active, such as `segnet(..., bayesian=True)`.
            Logits are turned into probabilities by a softmax, with one class by a sigmoid.
        images: a batch.
        samples: number of passes; the paper finds no gain beyond 40.
        batch_size: images in memory at a time.
        multi_label: whether each channel is an independent label (sigmoid).

    Returns: (mean, variance).

    Raises: ValueError for a model without such dropout, or fewer samples than one.
    """
    if not any(isinstance(layer, MonteCarloDropout) for layer in model._flatten_layers()):
        raise ValueError(
            "predict_with_uncertainty needs dropout that stays active at inference. Received: "
            f"{model.name!r}, which has none. Build it with bayesian=True."
        )
    if not isinstance(samples, int) or samples < 1:
        raise ValueError(f"samples must be a whole number from 1. Received: {samples!r}")
    model = for_inference(model)
    squashed = model_output_activation(model.output).are_probabilities
    # Welford's running moments: no sum of squares to cancel, no list of samples to keep.
    mean = spread = 0.0
    for count in range(1, samples + 1):
        scores = model.predict(images, batch_size=batch_size, verbose=0)
        sample = _probabilities(scores, squashed, multi_label).astype(np.float64)
        difference = sample - mean
        mean = mean + difference / count
        spread = spread + difference * (sample - mean)
    return mean.astype(np.float32), (spread / samples).astype(np.float32)


def _probabilities(scores: np.ndarray, squashed: bool, multi_label: bool) -> np.ndarray:
    if squashed:
        return scores
    independent = scores.shape[-1] == 1 or multi_label
    squash = keras.ops.sigmoid if independent else keras.ops.softmax
    return keras.ops.convert_to_numpy(squash(scores))
