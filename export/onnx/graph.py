"""The shapes, types and connections of an .onnx graph."""

from __future__ import annotations

import math

import onnx

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
MOVES = ("Cast", "Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that compute nothing."""
ACTIVATIONS = ("Clip", "LeakyRelu", "Relu")
"""Operators that runtimes fuse into the one before them."""
LARGE = 2**10
"""Number of values from which on a constant is a weight, not a shape or the like."""


def without_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with large weights as inputs, for tools that need no values and copy all weights."""
    copy = onnx.ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import)
    graph, source = copy.graph, proto.graph
    graph.name = source.name
    graph.node.extend(source.node)
    graph.input.extend(source.input)
    graph.output.extend(source.output)
    graph.value_info.extend(source.value_info)
    for tensor in source.initializer:
        if math.prod(tensor.dims) < LARGE:
            graph.initializer.append(tensor)
        else:
            value = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            graph.input.append(value)
    return copy


class Shapes:
    """Shapes and types of all tensors of a graph, by name.

    Attributes:
        graph: the graph.
        constants: names of weights, and of what is computed from weights alone.
        shape: name → shape.
        dtype: name → type, as ONNX numbers it.
        makers: name → node that computes the tensor.
        takers: name → nodes that read the tensor.
        free: whether a size of a map is not known.
    """

    def __init__(self, proto: onnx.ModelProto):
        graph = onnx.shape_inference.infer_shapes(without_weights(proto)).graph
        self.graph = proto.graph
        self.constants = {tensor.name for tensor in proto.graph.initializer}
        self.shape = {tensor.name: tuple(tensor.dims) for tensor in proto.graph.initializer}
        self.dtype = {tensor.name: tensor.data_type for tensor in proto.graph.initializer}
        for value in (*graph.input, *graph.value_info, *graph.output):
            kind = value.type.tensor_type
            if kind.elem_type and kind.HasField("shape"):  # else neither a tensor nor inferred
                self.shape[value.name] = tuple(d.dim_value for d in kind.shape.dim)
                self.dtype[value.name] = kind.elem_type
        self.makers = {name: node for node in graph.node for name in node.output}
        self.takers: dict[str, list[onnx.NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.takers.setdefault(name, []).append(node)
            if node.input and all(name in self.constants for name in node.input if name):
                self.constants.update(node.output)  # such as a weight after its scale
        maps = {name for node in graph.node for name in node.output if name} - self.constants
        maps.update(value.name for value in graph.input if value.name not in self.constants)
        self.free = any(name not in self.shape or 0 in self.shape[name] for name in maps)

    def bytes_of(self, name: str) -> int:
        """Size of a tensor in bytes."""
        dtype = onnx.helper.tensor_dtype_to_np_dtype(self.dtype[name])
        return math.prod(self.shape[name]) * dtype.itemsize
