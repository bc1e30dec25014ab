"""Dropout that stays active at inference (Monte Carlo dropout), to estimate uncertainty.

Gal, Ghahramani: Dropout as a Bayesian Approximation, ICML 2016, arXiv:1506.02142.
"""

from __future__ import annotations

import keras

from keras_seg.layers.tensors import Tensor


@keras.saving.register_keras_serializable("keras_seg")
class MonteCarloDropout(keras.layers.Dropout):
    """Dropout that is active in every call, also in `predict` and `evaluate`.

    Takes the arguments of `keras.layers.Dropout`.

    Shapes: any → the same.

    Example:
        y = keras_seg.layers.MonteCarloDropout(0.5)(keras.Input((16, 16, 8)))
    """

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return super().call(inputs, training=True)
