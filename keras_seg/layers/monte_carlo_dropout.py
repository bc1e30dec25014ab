"""Dropout that goes on at inference, so that predictions differ by what the network does not know.

Gal, Ghahramani: Dropout as a Bayesian Approximation, ICML 2016, arXiv:1506.02142.
"""

from __future__ import annotations

import keras


@keras.saving.register_keras_serializable("keras_seg")
class MonteCarloDropout(keras.layers.Dropout):
    """Dropout that is active in every call, also in `predict` and `evaluate`.

    Shapes: any → the same. Takes the arguments of `keras.layers.Dropout`.
    """

    def call(self, inputs, training=None):
        return super().call(inputs, training=True)
