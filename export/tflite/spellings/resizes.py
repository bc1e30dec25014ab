"""Bilinear resizes as two products with constant matrices.

Each row of the large map is a weighted mean of two rows of the small one, and so is each column. As
a product this is a 1x1 convolution of a map whose channels are the rows, or the columns. So the
axes are turned three times: TRANSPOSE, CONV_2D, TRANSPOSE, CONV_2D, TRANSPOSE.

Measured with Vela 5.2.0 for 16x20 to 128x160 with 21 channels, on Ethos-U55-256: 0.25 million
cycles; with two BATCH_MATMUL 8 million; with nearest up-sampling and two depthwise convolutions,
for half-pixel factors and 18 channels, 0.8 million.

In int8 both products round, and the scale stays that of the small map. LiteRT's own kernel steps
through the map in 1/1024 of a pixel, so that with aligned corners its weights differ by up to 0.06
at the last pixel; the products have the weights of the network.
"""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_seg.export.tflite.spellings.editor import FileEditor

LEVELS = range(64, 128)
"""Sums of the int8 weights of a row; the one with the most exact weights is chosen."""


def resize_grid(options: schema.ResizeBilinearOptionsT) -> str:
    """Name of the sampling grid of a resize."""
    if options is not None and options.alignCorners:
        return "align_corners"
    return "half_pixel" if options is not None and options.halfPixelCenters else "top_left"


def bilinear_resize(
    editor: FileEditor, operator: schema.OperatorT, *, per_channel: bool
) -> list[schema.OperatorT]:
    """The operators in the place of a RESIZE_BILINEAR of one image.

    Args:
        per_channel: whether each row of a matrix may have a scale of its own.
    """
    small, large = operator.inputs[0], operator.outputs[0]
    grid = resize_grid(operator.builtinOptions)
    height, width = editor.shape(small)[1:3]
    rows, columns = editor.shape(large)[1:3]
    writer = _Writer(editor, small, per_channel)
    x, steps = small, []
    turns = [
        ((0, 2, 3, 1), interpolation_matrix(height, rows, grid)),
        ((0, 3, 2, 1), interpolation_matrix(width, columns, grid)),
    ]
    for axes, matrix in turns:
        x, turned = writer.transposed(x, axes)
        x, product = writer.product(x, matrix)
        steps += [turned, product]
    _, last = writer.transposed(x, (0, 1, 3, 2), into=large)
    return [*steps, last]


def interpolation_matrix(before: int, after: int, grid: str) -> np.ndarray:
    """Weights (after, before) of a bilinear resize along one axis, in float64."""
    target = np.arange(after)
    position = {
        "half_pixel": (target + 0.5) * before / after - 0.5,
        "align_corners": target * (before - 1) / max(after - 1, 1),
        "top_left": target * before / after,
    }[grid].clip(0, before - 1)
    return np.maximum(1 - abs(position[:, None] - np.arange(before)), 0)


def rounded_weights(matrix: np.ndarray, *, per_channel: bool) -> tuple[np.ndarray, np.ndarray]:
    """A matrix in int8 → (weights, scale of each row); the weights of a row sum up to its mean 1.

    Args:
        per_channel: False for one scale for all rows.
    """
    levels = np.array(LEVELS)
    scaled = matrix[:, None] * levels[:, None]  # (rows, levels, columns)
    errors = (abs(scaled - np.round(scaled)) / levels[:, None]).max(2)
    if not per_channel:
        errors = np.broadcast_to(errors.max(0), errors.shape)
    chosen = levels[errors.argmin(1)]
    weights = np.round(matrix * chosen[:, None])
    rows = np.arange(len(matrix))
    weights[rows, weights.argmax(1)] += chosen - weights.sum(1)
    return weights.astype(np.int8), 1.0 / chosen


class _Writer:
    """New operators of one resize, whose maps have the type and scale of the small map."""

    def __init__(self, editor: FileEditor, small: int, per_channel: bool):
        self.editor, self.small, self.per_channel = editor, small, per_channel
        self.name = editor.name(small)

    def transposed(
        self, x: int, axes: tuple[int, ...], into: int | None = None
    ) -> tuple[int, schema.OperatorT]:
        editor, shape = self.editor, self.editor.shape(x)
        if into is None:
            into = editor.new_map(self.small, [shape[axis] for axis in axes], f"{self.name}.turned")
        order = editor.new_constant(np.array(axes, np.int32), f"{self.name}.axes")
        return into, editor.new_operator(
            "TRANSPOSE", [x, order], [into], schema.TransposeOptionsT()
        )

    def product(self, x: int, matrix: np.ndarray) -> tuple[int, schema.OperatorT]:
        editor, count = self.editor, len(matrix)
        result = editor.new_map(self.small, (*editor.shape(x)[:3], count), f"{self.name}.resized")
        kernel, bias = f"{self.name}.weights", f"{self.name}.bias"
        if editor.dtype(x) == "FLOAT32":
            weights = editor.new_constant(matrix[:, None, None].astype(np.float32), kernel)
            zeros = editor.new_constant(np.zeros(count, np.float32), bias)
        else:
            values, scales = rounded_weights(matrix, per_channel=self.per_channel)
            scales = scales if self.per_channel else scales[:1]
            weights = editor.new_constant(values[:, None, None], kernel, scales)
            zeros = editor.new_constant(
                np.zeros(count, np.int32), bias, scales * editor.scale(self.small)
            )
        options = schema.Conv2DOptionsT()
        options.padding = schema.Padding.VALID
        options.strideW = options.strideH = 1
        return result, editor.new_operator("CONV_2D", [x, weights, zeros], [result], options)
