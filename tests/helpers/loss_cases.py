"""Labels and logits that losses are tried on."""

import numpy as np
import pytest

from keras_seg import losses

IGNORED, CLASSES = 255, 5
EVERY_LOSS = pytest.mark.parametrize("name", losses.LOSSES)


def softmax(logits):
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def batch(name="", seed=0, images=3, size=(12, 10)):
    """Labels with ignored pixels and a class that is absent, and logits, as `name` takes them."""
    rng = np.random.default_rng(seed)
    classes = 2 if name == "lovasz_hinge" else CLASSES
    labels = rng.integers(0, max(2, classes - 1), (images, *size))
    labels[rng.random(labels.shape) < 0.2] = IGNORED
    return labels, rng.normal(0, 3, (*labels.shape, classes)).astype("float32")
