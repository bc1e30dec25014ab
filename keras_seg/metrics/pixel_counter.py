"""Exact sums of pixel counts, which exceed 32 bits within an epoch on a large data set."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

UNIT = 2**24
"""Value of the high word. A low word below it is exact in float32."""


class PixelCounter:
    """Counts as weights of a metric: one in int64, or two in int32 where there is no int64.

    JAX has no int64 unless `jax_enable_x64` is set. A single int32 would wrap around at 2^31
    pixels, 1,024 images of 1024x2048.

    Args:
        metric: the metric that the weights belong to.
        shape: shape of the counts.
        name: name of the weights.
    """

    def __init__(self, metric: keras.metrics.Metric, shape: tuple[int, ...], name: str) -> None:
        self.shape = shape
        if has_int64():
            self._weights = [_zeros(metric, shape, "int64", name)]
        else:
            words = (name, f"{name}_high")
            self._weights = [_zeros(metric, shape, "int32", word) for word in words]

    def add(self, counts: Any) -> None:
        """Adds the counts of a batch, int32 and below 2^30."""
        if len(self._weights) == 1:
            self._weights[0].assign_add(ops.cast(counts, "int64"))
            return
        low, high = self._weights
        total = ops.convert_to_tensor(low) + counts
        high.assign_add(total // UNIT)
        low.assign(total % UNIT)

    @property
    def counts(self) -> Any:
        """The counts so far: an int64 weight, or a float32 tensor (exact below 2^24)."""
        if len(self._weights) == 1:
            return self._weights[0]
        low, high = (ops.cast(word, "float32") for word in self._weights)
        return high * UNIT + low


def has_int64() -> bool:
    """Whether tensors can be int64."""
    if keras.backend.backend() != "jax":
        return True
    import jax

    return jax.config.jax_enable_x64


def _zeros(metric: keras.metrics.Metric, shape: tuple[int, ...], dtype: str, name: str) -> Any:
    return metric.add_weight(shape=shape, initializer="zeros", dtype=dtype, name=name)
