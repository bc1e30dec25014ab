"""The output activation of a .tflite file, read from its operators."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from keras_seg import output_activation as kinds
from keras_seg.output_activation import OutputActivation, TensorSource, find_output_activation

KINDS = {
    kinds.PASSES: (
        "AVERAGE_POOL_2D",
        "BROADCAST_TO",
        "CAST",
        "DEPTH_TO_SPACE",
        "DEQUANTIZE",
        "EXPAND_DIMS",
        "MAX_POOL_2D",
        "MIRROR_PAD",
        "PAD",
        "QUANTIZE",
        "RESHAPE",
        "RESIZE_BILINEAR",
        "RESIZE_NEAREST_NEIGHBOR",
        "REVERSE_V2",
        "TILE",
    ),
    kinds.SLICES: (
        "GATHER",
        "MEAN",
        "REDUCE_MAX",
        "REDUCE_MIN",
        "SLICE",
        "SPLIT_V",
        "SQUEEZE",
        "STRIDED_SLICE",
        "UNPACK",
    ),
    kinds.TRANSPOSES: ("TRANSPOSE",),
    kinds.JOINS: ("CONCATENATION", "MAXIMUM", "MINIMUM"),
    kinds.AVERAGES: ("PACK",),
    kinds.BOUNDS: ("RELU", "RELU6", "RELU_0_TO_1"),
    kinds.ADDS: ("ADD", "SUB"),
    kinds.EXPONENT: ("EXP",),
    kinds.LINEAR: ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"),
    "log_softmax": ("LOG_SOFTMAX",),
    "sigmoid": ("LOGISTIC",),
    "softmax": ("SOFTMAX",),
    "tanh": ("TANH",),
}
NAMES = {number: name for name, number in vars(schema.BuiltinOperator).items() if name[0] != "_"}
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}
"""Name of an operator → its kind."""
WITH_FUNCTION = {
    "CONV_2D": schema.Conv2DOptions,
    "DEPTHWISE_CONV_2D": schema.DepthwiseConv2DOptions,
    "FULLY_CONNECTED": schema.FullyConnectedOptions,
    "TRANSPOSE_CONV": schema.TransposeConvOptions,
    "ADD": schema.AddOptions,
    "SUB": schema.SubOptions,
}
"""Operators that may apply a fused function, such as ReLU."""


def tflite_output_activation(content: bytes, output: int) -> OutputActivation:
    """The function at a tensor of the graph in a .tflite file's bytes; output: its index."""
    model = schema.Model.GetRootAs(content)
    graph = model.Subgraphs(0)
    operator_of = {
        int(number): graph.Operators(i)
        for i in range(graph.OperatorsLength())
        for number in graph.Operators(i).OutputsAsNumpy()
    }

    def source_of(tensor: int) -> TensorSource:
        operator = operator_of.get(tensor)
        if operator is None:  # the image, or a constant
            return TensorSource(kinds.UNKNOWN)
        name = _name(model.OperatorCodes(operator.OpcodeIndex()))
        inputs = tuple(int(number) for number in operator.InputsAsNumpy() if number >= 0)
        kind = KIND_OF.get(name, kinds.UNKNOWN)
        if name in WITH_FUNCTION and _fused_function(operator, WITH_FUNCTION[name]):
            kind = kinds.UNKNOWN
        if name == "SPLIT":  # its first input is the axis
            kind, inputs = kinds.SLICES, inputs[1:]
        return TensorSource(kind, inputs[-1:] if name == "TRANSPOSE_CONV" else inputs, name)

    return find_output_activation(output, source_of)


def _name(code: schema.OperatorCode) -> str:
    # the first field holds codes up to 127 only; files by old converters have no other
    return NAMES.get(max(code.DeprecatedBuiltinCode(), code.BuiltinCode()), "?")


def _fused_function(operator: schema.Operator, options_type: type) -> int:
    """Number of the fused function of an operator, 0 for none."""
    table = operator.BuiltinOptions()
    if table is None:
        return 0
    options = options_type()
    options.Init(table.Bytes, table.Pos)
    return options.FusedActivationFunction()
