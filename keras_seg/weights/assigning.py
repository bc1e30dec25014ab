"""Weights of one layer or model given to another."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np


def set_weights(target: keras.Layer, values: Sequence[np.ndarray]) -> None:
    """Sets the weights of a layer or model, and what its layers compute with in their place.

    An adapted Normalization computes with copies of its weights, which Keras renews when it loads
    a file, and not when weights are set: it would go on with a mean of 0 and a variance of 1.
    """
    target.set_weights(values)
    for layer in target._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
