"""What several layers share: types, precise number types, sizes and the question about XLA."""

from __future__ import annotations

from typing import Any, TypeAlias

import keras
from keras import ops

from keras_seg.layers.backend import on_tensorflow

Tensor: TypeAlias = Any
"""A tensor of the backend, or a `keras.KerasTensor` while a model is being built."""
Shape: TypeAlias = tuple[Any, ...]
"""The shape of a tensor, batch first: numbers, and None or a scalar tensor for a free axis."""


def precise_dtype(dtype: str) -> str:
    """float32 for half precision and for integers, the type itself for float32 and float64.

    Layers compute positions, counts and sums over many values in it under every policy.
    """
    # not `keras.backend.result_type`, which gives float32 for float64 on JAX and PyTorch
    return "float64" if keras.backend.standardize_dtype(dtype) == "float64" else "float32"


def in_float32(x: Tensor) -> Tensor:
    """The tensor in `precise_dtype`."""
    return ops.cast(x, precise_dtype(x.dtype))


def size_of(x: Tensor) -> tuple[int | Tensor, int | Tensor]:
    """Height and width in pixels: integers where they are known, else scalar tensors."""
    return ops.shape(x)[1:3]


def with_shape(x: Tensor, shape: Shape) -> Tensor:
    """The tensor, with the static shape that TensorFlow loses after operators of dynamic size.

    Other backends trace with the sizes of the arrays and lose none.
    """
    if on_tensorflow():
        x.set_shape(shape)
    return x


def compiled_by_xla() -> bool:
    """Whether layers must take their form for XLA, which lacks some of TensorFlow's operators.

    On TensorFlow: whether XLA compiles the current graph. On other backends: always.
    """
    if not on_tensorflow():
        return True
    from tensorflow.python.framework.ops import get_default_graph
    from tensorflow.python.ops.control_flow_util import GraphOrParentsInXlaContext

    return GraphOrParentsInXlaContext(get_default_graph())
