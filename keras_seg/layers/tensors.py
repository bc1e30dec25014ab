"""Types of tensors and shapes, precise number types, and XLA, for several layers."""

from __future__ import annotations

from typing import Any, TypeAlias

import keras
from keras import ops
from tensorflow.python.framework.ops import get_default_graph
from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

Tensor: TypeAlias = Any
"""A tensor of the backend, or a `keras.KerasTensor` while a model is being built."""
Shape: TypeAlias = tuple[Any, ...]
"""The shape of a tensor, batch first: numbers, and None or a scalar tensor for a free axis."""


def precise_dtype(dtype: str) -> str:
    """float32 for half precision and for integers, the type itself for float32 and float64.

    Layers compute positions, counts and sums over many values in it, whatever the policy.
    """
    return keras.backend.result_type(dtype, "float32")


def in_float32(x: Tensor) -> Tensor:
    """The tensor in `precise_dtype`."""
    return ops.cast(x, precise_dtype(x.dtype))


def compiled_by_xla() -> bool:
    """Whether XLA compiles what is being traced: some operators need another form there."""
    return GraphOrParentsInXlaContext(get_default_graph())
