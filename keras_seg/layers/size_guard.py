"""Refuses images whose size a network cannot take, before an inner layer fails obscurely."""

from __future__ import annotations

import keras


@keras.saving.register_keras_serializable("keras_seg")
class SizeGuard(keras.layers.Layer):
    """Identity that lets only heights and widths pass that are multiples of `multiple` pixels.

    Free (None) heights and widths pass at build time and are checked when a real image comes.

    Raises: ValueError that names the two nearest sizes that work.
    """

    def __init__(self, multiple: int, **base_config):
        super().__init__(**base_config)
        self.multiple = multiple

    def call(self, x):
        self._check(x.shape)
        return x

    def compute_output_shape(self, input_shape):
        self._check(input_shape)
        return input_shape

    def get_config(self):
        return super().get_config() | {"multiple": self.multiple}

    def _check(self, shape):
        for axis, size in zip(("height", "width"), shape[1:3], strict=True):
            if size is not None and (size % self.multiple or size == 0):
                raise ValueError(
                    f"The {axis} of the image must be a multiple of {self.multiple} pixels. "
                    f"Received: {size}. The nearest that work are "
                    f"{' and '.join(map(str, nearest_sizes(size, self.multiple)))}."
                )


def nearest_sizes(size: int, multiple: int) -> tuple[int, ...]:
    """The nearest positive multiples below and above `size` (one, if none lies below)."""
    below = size // multiple * multiple
    return (below, below + multiple) if below else (multiple,)
