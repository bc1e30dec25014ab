"""One learned factor per channel."""

from __future__ import annotations

from typing import Any

import keras

from keras_seg.layers.tensors import Shape, Tensor


@keras.saving.register_keras_serializable("keras_seg")
class LayerScale(keras.layers.Layer):
    """Multiplies each channel by a learned factor.

    Touvron, Cord, Sablayrolles, Synnaeve, Jégou: Going Deeper with Image Transformers, ICCV 2021,
    arXiv:2103.17239. With factors near zero a deep residual network starts as the identity.

    Shapes: (..., C) → (..., C).

    Args:
        initial: value of all factors before training.

    Example:
        x = keras.Input((16, 16, 8))
        branch = keras.layers.Conv2D(8, 3, padding="same")(x)
        y = x + keras_seg.layers.LayerScale(1e-6)(branch)
    """

    def __init__(self, initial: float = 1e-6, **base_config: Any):
        super().__init__(**base_config)
        self.initial = initial

    def build(self, input_shape: Shape) -> None:
        self.gamma = self.add_weight(
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.initial),
            name="gamma",
        )

    def call(self, inputs: Tensor) -> Tensor:
        inputs = keras.ops.cast(
            inputs, self.compute_dtype
        )  # an integer type would round gamma to 0
        return inputs * keras.ops.cast(self.gamma, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"initial": self.initial}
