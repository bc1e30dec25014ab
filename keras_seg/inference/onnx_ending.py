"""What an .onnx file ends in, by its operators."""

from __future__ import annotations

from pathlib import Path

import onnx

from keras_seg import endings
from keras_seg.endings import Ending, Made, ending_of

KINDS = {
    endings.HANDS_ON: (
        *("AveragePool", "Cast", "CastLike", "DepthToSpace", "DequantizeLinear", "Dropout"),
        *("Expand", "Flatten", "Identity", "MaxPool", "Pad", "QuantizeLinear", "Reshape"),
        *("Resize", "Tile", "Unsqueeze", "Upsample"),
    ),
    endings.SLICES: ("Gather", "ReduceMax", "ReduceMean", "ReduceMin", "Slice", "Split", "Squeeze"),
    endings.MOVES: ("Transpose",),
    endings.JOINS: ("Concat", "Max", "Min"),
    endings.AVERAGES: ("Mean",),
    endings.BOUNDS: ("Clip", "Relu"),
    endings.ADDS: ("Add", "Sub", "Sum"),
    endings.EXPONENT: ("Exp",),
    endings.LINEAR: (
        *("BatchNormalization", "Conv", "ConvTranspose", "Gemm", "MatMul", "QLinearConv"),
        *("QLinearMatMul",),
    ),
    "hard_sigmoid": ("HardSigmoid",),
    "log_softmax": ("LogSoftmax",),
    "sigmoid": ("Sigmoid", "QLinearSigmoid"),
    "softmax": ("Softmax", "QLinearSoftmax"),
    "tanh": ("Tanh",),
}
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}
"""Type of a node → its kind."""


def onnx_ending(path: Path, output: str) -> Ending:
    """What an output of an .onnx file ends in; output: its name."""
    graph = onnx.load(path, load_external_data=False).graph
    makers = {name: node for node in graph.node for name in node.output}

    def maker(tensor: str) -> Made:
        node = makers.get(tensor)
        if node is None:  # the image, or numbers that the file holds
            return Made(endings.UNKNOWN)
        inputs = tuple(name for name in node.input if name)
        return Made(KIND_OF.get(node.op_type, endings.UNKNOWN), inputs, node.op_type)

    return ending_of(output, maker)
