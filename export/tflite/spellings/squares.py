"""DEPTH_TO_SPACE and SPACE_TO_DEPTH as SPLIT, CONCATENATION and RESHAPE.

A row of the large map consists of the rows of its squares. If the channels of the small map are
split into the rows of the squares, and these are concatenated along the width, the numbers stand in
the order of the large map. Nothing is computed, so all numbers stay as they are.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_seg.export.tflite.spellings.editor import FileEditor

WIDTH, CHANNELS = 2, 3
"""Axes of a map."""


def depth_to_space(editor: FileEditor, operator: schema.OperatorT) -> list[schema.OperatorT]:
    """The operators in the place of a DEPTH_TO_SPACE of one image."""
    (small,), (large,) = operator.inputs, operator.outputs
    side, name = operator.builtinOptions.blockSize, editor.name(large)
    _, height, width, channels = editor.shape(small)
    rows, split = _split(editor, small, CHANNELS, side, (1, height, width, channels // side), name)
    wide = editor.new_map(large, (1, height, side * width, channels // side), f"{name}.rows")
    joined = _concatenated(editor, rows, wide, WIDTH)
    return [split, joined, _reshaped(editor, wide, large, name)]


def space_to_depth(editor: FileEditor, operator: schema.OperatorT) -> list[schema.OperatorT]:
    """The operators in the place of a SPACE_TO_DEPTH of one image."""
    (large,), (small,) = operator.inputs, operator.outputs
    side, name = operator.builtinOptions.blockSize, editor.name(small)
    _, height, width, channels = editor.shape(small)
    wide = editor.new_map(large, (1, height, side * width, channels // side), f"{name}.rows")
    rows, split = _split(editor, wide, WIDTH, side, (1, height, width, channels // side), name)
    joined = _concatenated(editor, rows, small, CHANNELS)
    return [_reshaped(editor, large, wide, name), split, joined]


def _split(
    editor: FileEditor, whole: int, axis: int, count: int, shape: tuple[int, ...], name: str
) -> tuple[list[int], schema.OperatorT]:
    """The parts of a map, and the operator that splits it."""
    options = schema.SplitOptionsT()
    options.numSplits = count
    parts = [editor.new_map(whole, shape, f"{name}.part{i}") for i in range(count)]
    constant = editor.new_constant(np.array(axis, np.int32), f"{name}.axis")
    return parts, editor.new_operator("SPLIT", [constant, whole], parts, options)


def _concatenated(editor: FileEditor, parts: list[int], whole: int, axis: int) -> schema.OperatorT:
    options = schema.ConcatenationOptionsT()
    options.axis = axis
    return editor.new_operator("CONCATENATION", parts, [whole], options)


def _reshaped(editor: FileEditor, before: int, after: int, name: str) -> schema.OperatorT:
    options, shape = schema.ReshapeOptionsT(), np.array(editor.shape(after), np.int32)
    options.newShape = shape
    constant = editor.new_constant(shape, f"{name}.shape")
    return editor.new_operator("RESHAPE", [before, constant], [after], options)
