"""The output activation of an .onnx file, read from its operators."""

from __future__ import annotations

from pathlib import Path

import onnx

from keras_seg import output_activation as kinds
from keras_seg.output_activation import OutputActivation, TensorSource, find_output_activation

KINDS = {
    kinds.PASSES: (
        "AveragePool",
        "Cast",
        "CastLike",
        "DepthToSpace",
        "DequantizeLinear",
        "Dropout",
        "Expand",
        "Flatten",
        "Identity",
        "MaxPool",
        "Pad",
        "QuantizeLinear",
        "Reshape",
        "Resize",
        "Tile",
        "Unsqueeze",
        "Upsample",
    ),
    kinds.SLICES: ("Gather", "ReduceMax", "ReduceMean", "ReduceMin", "Slice", "Split", "Squeeze"),
    kinds.TRANSPOSES: ("Transpose",),
    kinds.JOINS: ("Concat", "Max", "Min"),
    kinds.AVERAGES: ("Mean",),
    kinds.BOUNDS: ("Clip", "Relu"),
    kinds.ADDS: ("Add", "Sub", "Sum"),
    kinds.EXPONENT: ("Exp",),
    kinds.LINEAR: (
        "BatchNormalization",
        "Conv",
        "ConvTranspose",
        "Gemm",
        "MatMul",
        "QLinearConv",
        "QLinearMatMul",
    ),
    "hard_sigmoid": ("HardSigmoid",),
    "log_softmax": ("LogSoftmax",),
    "sigmoid": ("Sigmoid", "QLinearSigmoid"),
    "softmax": ("Softmax", "QLinearSoftmax"),
    "tanh": ("Tanh",),
}
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}
"""Type of a node → its kind."""


def onnx_output_activation(path: Path, output: str) -> OutputActivation:
    """The function at an output of an .onnx file; output: its name."""
    graph = onnx.load(path, load_external_data=False).graph
    node_of = {name: node for node in graph.node for name in node.output}

    def source_of(tensor: str) -> TensorSource:
        node = node_of.get(tensor)
        if node is None:  # the image, or a constant
            return TensorSource(kinds.UNKNOWN)
        inputs = tuple(name for name in node.input if name)
        return TensorSource(KIND_OF.get(node.op_type, kinds.UNKNOWN), inputs, node.op_type)

    return find_output_activation(output, source_of)
