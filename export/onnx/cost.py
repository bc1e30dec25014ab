"""The cost of an .onnx file on a device: multiply-adds and memory for maps."""

from __future__ import annotations

import math

import onnx

from keras_seg.export.memory_plan import placed_bytes
from keras_seg.export.onnx.graph import ACTIVATIONS, DEQUANTIZE, QUANTIZE, Shapes


def multiply_adds(shapes: Shapes) -> int | None:
    """Multiply-adds for one image, of weights with maps and of two maps.

    Counted as in `keras_seg.models.multiply_adds`; None at a free size.
    """
    return None if shapes.free else sum(_products(shapes, node) for node in shapes.graph.node)


def maps_bytes(shapes: Shapes) -> int | None:
    """Bytes for the maps of one run, image and output included; None at a free size.

    Planned as for a .tflite file: a map is in memory from the node that computes it to the last
    that reads it. QDQ pairs count as the integers between them, because runtimes fuse them with the
    operators around; an activation shares the memory of the operator before it.
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
    for value in ends:  # without outputs that are constants
        spans[place(value.name)] = (spans[place(value.name)][0], len(nodes))
    return placed_bytes([(shapes.bytes_of(name), *span) for name, span in spans.items()])


def _aliases(shapes: Shapes) -> dict[str, str]:
    """Tensor that needs no extra memory → the tensor whose memory it uses."""
    alias: dict[str, str] = {}
    outputs = {value.name for value in shapes.graph.output}
    for node in shapes.graph.node:
        maps = [name for name in node.input if name and name not in shapes.constants]
        if not maps or len(node.output) != 1:
            continue
        name = maps[0]
        alone = len(shapes.takers[name]) == 1 and name not in outputs
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
