"""What layers compute in float32 whatever the policy: positions, counts, sums over many values."""

from __future__ import annotations

import keras
from keras import ops


def precise_dtype(dtype) -> str:
    """float32 for half precision and for integers, the type itself for float32 and float64."""
    return keras.backend.result_type(dtype, "float32")


def in_float32(x):
    """The tensor in float32 at least."""
    return ops.cast(x, precise_dtype(x.dtype))
