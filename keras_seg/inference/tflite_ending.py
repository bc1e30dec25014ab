"""What a .tflite file ends in, by its operators."""

from __future__ import annotations

from ai_edge_litert import schema_py_generated as schema

from keras_seg import endings
from keras_seg.endings import Ending, Made, ending_of

KINDS = {
    endings.HANDS_ON: (
        *("AVERAGE_POOL_2D", "BROADCAST_TO", "CAST", "DEPTH_TO_SPACE", "DEQUANTIZE", "EXPAND_DIMS"),
        *("MAX_POOL_2D", "MIRROR_PAD", "PAD", "QUANTIZE", "RESHAPE", "RESIZE_BILINEAR"),
        *("RESIZE_NEAREST_NEIGHBOR", "REVERSE_V2", "TILE"),
    ),
    endings.SLICES: (
        *("GATHER", "MEAN", "REDUCE_MAX", "REDUCE_MIN", "SLICE", "SPLIT_V", "SQUEEZE"),
        *("STRIDED_SLICE", "UNPACK"),
    ),
    endings.MOVES: ("TRANSPOSE",),
    endings.JOINS: ("CONCATENATION", "MAXIMUM", "MINIMUM"),
    endings.AVERAGES: ("PACK",),
    endings.BOUNDS: ("RELU", "RELU6", "RELU_0_TO_1"),
    endings.ADDS: ("ADD", "SUB"),
    endings.EXPONENT: ("EXP",),
    endings.LINEAR: ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"),
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
"""Operators that may apply a function, such as ReLU, at their end."""


def tflite_ending(content: bytes, output: int) -> Ending:
    """What a tensor of the graph in a .tflite file's bytes ends in; output: its number."""
    model = schema.Model.GetRootAs(content)
    graph = model.Subgraphs(0)
    makers = {
        int(number): graph.Operators(i)
        for i in range(graph.OperatorsLength())
        for number in graph.Operators(i).OutputsAsNumpy()
    }

    def maker(tensor: int) -> Made:
        operator = makers.get(tensor)
        if operator is None:  # the image, or numbers that the file holds
            return Made(endings.UNKNOWN)
        name = _name(model.OperatorCodes(operator.OpcodeIndex()))
        inputs = tuple(int(number) for number in operator.InputsAsNumpy() if number >= 0)
        kind = KIND_OF.get(name, endings.UNKNOWN)
        if name in WITH_FUNCTION and _function(operator, WITH_FUNCTION[name]):
            kind = endings.UNKNOWN
        if name == "SPLIT":  # whose first input is the axis
            kind, inputs = endings.SLICES, inputs[1:]
        return Made(kind, inputs[-1:] if name == "TRANSPOSE_CONV" else inputs, name)

    return ending_of(output, maker)


def _name(code) -> str:
    # the first field holds codes up to 127 only; files by old converters have nothing else
    return NAMES.get(max(code.DeprecatedBuiltinCode(), code.BuiltinCode()), "?")


def _function(operator, options_type) -> int:
    """Number of the function that an operator ends with, 0 for none."""
    table = operator.BuiltinOptions()
    if table is None:
        return 0
    options = options_type()
    options.Init(table.Bytes, table.Pos)
    return options.FusedActivationFunction()
