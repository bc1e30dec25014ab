"""Dropout of whole residual branches, the same for every image of a batch."""

from __future__ import annotations

from typing import Any

import keras

from keras_seg.layers.tensors import Shape, Tensor


@keras.saving.register_keras_serializable("keras_seg")
class TotalDropout(keras.layers.Layer):
    """Keeps or zeroes its whole input, with one random draw per training step; identity at
    inference.

    At the end of a residual branch it leaves only the shortcut in some steps, so that a grid of
    streams does not depend on a single stream. Values are not rescaled, neither in training nor at
    inference.

    Shapes: any → the same.

    Source: Fourure et al., arXiv:1707.07958 (`TotalDropout` of Element-Research/dpnn).

    Args:
        rate: probability that the input is zeroed, at least 0 and less than 1.
        seed: seed of the draws; None for another sequence in every run.

    Raises:
        ValueError: another rate.

    Example:
        x = keras.Input((16, 16, 8))
        branch = keras.layers.Conv2D(8, 3, padding="same")(x)
        y = x + keras_seg.layers.TotalDropout(0.1)(branch)
    """

    def __init__(self, rate: float, seed: int | None = None, **base_config: Any):
        super().__init__(**base_config)
        if not 0 <= rate < 1:
            raise ValueError(
                f"rate must be a probability from 0 up to but without 1. Received: {rate!r}"
            )
        self.rate, self.seed = rate, seed
        self.supports_masking = True
        if rate > 0:
            self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, x: Tensor, training: bool = False) -> Tensor:
        if not training or self.rate == 0:
            return x
        draw = keras.random.uniform((), seed=self.seed_generator)
        # not a product: zero times infinity (an overflow of float16) is not zero
        return keras.ops.where(draw >= self.rate, x, keras.ops.zeros_like(x))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def compute_output_spec(self, x: Tensor, training: bool = False) -> keras.KerasTensor:
        return keras.KerasTensor(x.shape, x.dtype)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"rate": self.rate, "seed": self.seed}
