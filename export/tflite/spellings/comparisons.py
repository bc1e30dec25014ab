"""Comparisons of int8 maps in steps below 1.

LiteRT's kernels, and those of TFLite Micro, multiply both maps by their scale, which they take to
be below 1. With a step of 1 or more they treat all numbers as equal, or end the process. A product
with a power of two changes the scale and leaves every integer as it is, so that the comparison is
that of the network.
"""

from __future__ import annotations

import math

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_seg.export.tflite.faults import COMPARISONS
from keras_seg.export.tflite.spellings.editor import FileEditor

INTEGERS = ("INT8", "UINT8")


def is_coarse(editor: FileEditor, operator: schema.OperatorT) -> bool:
    """Whether an operator compares integers in steps of 1 or more."""
    return editor.kind(operator) in COMPARISONS and any(
        editor.dtype(int(tensor)) in INTEGERS and (editor.scale(int(tensor)) or 0) >= 1
        for tensor in operator.inputs
    )


def comparison_in_small_steps(
    editor: FileEditor, operator: schema.OperatorT
) -> list[schema.OperatorT]:
    """The operators in the place of a comparison in steps of 1 or more."""
    maps = [int(tensor) for tensor in operator.inputs]
    largest = max(editor.scale(tensor) or 0.0 for tensor in maps)
    factor = 2.0 ** -(math.floor(math.log2(largest)) + 1)
    one = editor.new_constant(np.ones((1, 1, 1, 1), np.int8), "step", np.array([factor]))
    products, inputs = [], []
    for tensor in maps:
        name, shape = f"{editor.name(tensor)}.fine", editor.shape(tensor)
        scale = (editor.scale(tensor) or 0.0) * factor
        inputs.append(editor.new_map(tensor, shape, name, scale))
        options = schema.MulOptionsT()
        products.append(editor.new_operator("MUL", [tensor, one], [inputs[-1]], options))
    operator.inputs = np.array(inputs, np.int32)
    return [*products, operator]
