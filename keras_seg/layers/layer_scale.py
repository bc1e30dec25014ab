"""One learned factor a channel."""

from __future__ import annotations

import keras


@keras.saving.register_keras_serializable("keras_seg")
class LayerScale(keras.layers.Layer):
    """Multiplies each channel by a learned factor; (..., C) → (..., C).

    Touvron, Cord, Sablayrolles, Synnaeve, Jégou: Going Deeper with Image Transformers, ICCV 2021,
    arXiv:2103.17239. Starting near zero, it makes a deep residual network the identity at first.

    Args:
        initial: value of all factors before training.
    """

    def __init__(self, initial: float = 1e-6, **base_config):
        super().__init__(**base_config)
        self.initial = initial

    def build(self, input_shape):
        self.gamma = self.add_weight(
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.initial),
            name="gamma",
        )

    def call(self, inputs):
        inputs = keras.ops.cast(inputs, self.compute_dtype)  # integers would make gamma 0
        return inputs * keras.ops.cast(self.gamma, self.compute_dtype)

    def get_config(self):
        return super().get_config() | {"initial": self.initial}
