"""Dropout of whole residual branches, the same for every image of a batch."""

from __future__ import annotations

import keras


@keras.saving.register_keras_serializable("keras_seg")
class TotalDropout(keras.layers.Layer):
    """Keeps or zeroes its whole input, by one draw a training step; identity at inference.

    Put at the end of a residual branch, it leaves the shortcut alone as the path of a step, so
    that a grid of streams learns not to lean on one of them. Nothing is rescaled, neither while
    training nor after it.

    Shapes: any → the same.

    Args:
        rate: probability that the input is zeroed, from 0 up to but without 1.
        seed: seed of the draws; None for another sequence in every run.

    Source: Fourure et al., arXiv:1707.07958 (`TotalDropout` of Element-Research/dpnn).
    Raises: ValueError for another rate.
    """

    def __init__(self, rate: float, seed: int | None = None, **base_config):
        super().__init__(**base_config)
        if not 0 <= rate < 1:
            raise ValueError(
                f"rate must be a probability from 0 up to but without 1. Received: {rate!r}"
            )
        self.rate, self.seed = rate, seed
        self.supports_masking = True
        if rate > 0:
            self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x, training=False):
        if not training or self.rate == 0:
            return x
        draw = keras.random.uniform((), seed=self.seed_generator)
        # a choice and no product: zero times an overflow of float16 would not be zero
        return keras.ops.where(draw >= self.rate, x, keras.ops.zeros_like(x))

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, x, training=False):
        return keras.KerasTensor(x.shape, x.dtype)

    def get_config(self):
        return super().get_config() | {"rate": self.rate, "seed": self.seed}
