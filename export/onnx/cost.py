"""What an .onnx file asks of a device: multiply-adds, memory for maps, what an int8 file computes
in float."""

from __future__ import annotations

import math

import onnx

from keras_seg.export.memory_plan import placed_bytes

QUANTIZE, DEQUANTIZE = "QuantizeLinear", "DequantizeLinear"
MOVES = ("Cast", "Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that compute nothing."""
ACTIVATIONS = ("Clip", "LeakyRelu", "Relu")
"""Operators that runtimes make part of the one before them."""
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)


class Shapes:
    """Shapes and types of all tensors of a graph, by name; weights are known as constant.

    free: whether a size of a map is not known.
    """

    def __init__(self, proto: onnx.ModelProto):
        graph = onnx.shape_inference.infer_shapes(proto).graph
        self.graph = proto.graph
        self.constants = {tensor.name for tensor in graph.initializer}
        self.shape = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
        self.dtype = {tensor.name: tensor.data_type for tensor in graph.initializer}
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
        dtype = onnx.helper.tensor_dtype_to_np_dtype(self.dtype[name])
        return math.prod(self.shape[name]) * dtype.itemsize


def multiply_adds(shapes: Shapes) -> int | None:
    """Products with an addition for one image, of weights with maps and of two maps.

    Counted as `keras_seg.models.multiply_adds` does; None at a free size.
    """
    return None if shapes.free else sum(_products(shapes, node) for node in shapes.graph.node)


def maps_bytes(shapes: Shapes) -> int | None:
    """Memory for the maps of one run, image and output included; None at a free size.

    Planned as for a .tflite file: each map has a place from the node that makes it to the last that
    takes it. Pairs of an int8 file count as the integers between them, since runtimes merge them
    with the operators around; an activation shares the place of the operator before it.
    """
    if shapes.free:
        return None
    nodes, graph = list(shapes.graph.node), shapes.graph
    alias = _aliases(shapes)
    images = [value.name for value in graph.input if value.name not in shapes.constants]
    spans = dict.fromkeys(images, (0, 0))

    def place(name: str) -> str:
        while name in alias:
            name = alias[name]
        return name

    for i, node in enumerate(nodes):
        for name in map(place, node.input):
            if name in spans:
                spans[name] = (spans[name][0], i)
        for name in node.output:
            if name and name not in shapes.constants:
                first = spans.get(place(name), (i, i))[0]
                spans[place(name)] = (first, i)
    ends = [value for value in (*graph.input, *graph.output) if place(value.name) in spans]
    for value in ends:  # but for an output that is a constant
        spans[place(value.name)] = (spans[place(value.name)][0], len(nodes))
    return placed_bytes([(shapes.bytes_of(name), *span) for name, span in spans.items()])


def _aliases(shapes: Shapes) -> dict[str, str]:
    """Tensor without a place of its own → the one whose place it has."""
    alias: dict[str, str] = {}
    outputs = {value.name for value in shapes.graph.output}
    for node in shapes.graph.node:
        given = [name for name in node.input if name and name not in shapes.constants]
        if not given or len(node.output) != 1:
            continue
        (name,), alone = given[:1], len(shapes.takers[given[0]]) == 1 and given[0] not in outputs
        inner = node.op_type == DEQUANTIZE and node.output[0] not in outputs
        if inner or (node.op_type in ACTIVATIONS and alone):
            alias[node.output[0]] = name
        elif (
            node.op_type == QUANTIZE and alone and name in shapes.makers
        ):  # the float is never written
            while shapes.makers[name].op_type in ACTIVATIONS and name in alias:
                name, alias[name] = alias[name], node.output[0]
            if name not in alias:
                alias[name] = node.output[0]
    return alias


def islands(shapes: Shapes) -> list[str]:
    """ "operator (name)" that an int8 file computes in float: not from integers to integers.

    Empty for a file without pairs.
    """
    nodes = shapes.graph.node
    if not any(node.op_type == DEQUANTIZE for node in nodes):
        return []
    outputs = {value.name for value in shapes.graph.output}
    return [
        f"{node.op_type} ({node.name or node.output[0]})"
        for node in nodes
        if node.op_type not in (QUANTIZE, DEQUANTIZE, *MOVES)
        and not all(name in shapes.constants for name in node.output)
        and any(shapes.dtype.get(name) in FLOATS for name in node.output)
        and not (_from_integers(shapes, node) and _to_integers(shapes, node, outputs))
    ]


def _from_integers(shapes: Shapes, node: onnx.NodeProto) -> bool:
    """Whether every float map that a node takes was made of integers."""
    for name in node.input:
        if not name or name in shapes.constants or shapes.dtype.get(name) not in FLOATS:
            continue
        maker = shapes.makers.get(name)
        if maker is None:
            return False
        if maker.op_type == DEQUANTIZE:
            continue
        # an activation belongs to the operator before it, a move changes no value
        if maker.op_type not in MOVES and not (
            node.op_type in ACTIVATIONS and maker.op_type not in ACTIVATIONS
        ):
            return False
        if not _from_integers(shapes, maker):
            return False
    return True


def _to_integers(shapes: Shapes, node: onnx.NodeProto, outputs: set[str]) -> bool:
    """Whether all that a node makes becomes integers, or leaves the network."""
    for name in node.output:
        if name in outputs:
            continue
        for taker in shapes.takers.get(name, []):
            through = taker.op_type in (*ACTIVATIONS, *MOVES)
            if taker.op_type != QUANTIZE and not (through and _to_integers(shapes, taker, outputs)):
                return False
    return True


def _products(shapes: Shapes, node: onnx.NodeProto) -> int:
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return 0
    left, right = (shapes.shape[name] for name in node.input[:2])
    output = shapes.shape[node.output[0]]
    if node.op_type == "Conv":  # kernel: (outputs, inputs of a group, height, width)
        return math.prod(output) * math.prod(right[1:])
    if node.op_type == "ConvTranspose":  # kernel: (inputs, outputs of a group, height, width)
        return math.prod(left) * math.prod(right[1:])
    if node.op_type == "MatMul":
        return math.prod(output) * left[-1]
    transposed = any(word.name == "transA" and word.i for word in node.attribute)
    return math.prod(output) * left[0 if transposed else 1]
