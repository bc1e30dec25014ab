"""The cost of a .tflite file on a device: multiply-adds, memory for maps, work outside XNNPACK."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from keras_seg.export.memory_plan import placed_bytes
from keras_seg.export.tflite.graph import Graph, Operator
from keras_seg.quiet import without_log_lines


def multiply_adds(graph: Graph) -> int:
    """Multiply-adds for one image: of weights with maps and of two maps.

    Counted as in `keras_seg.models.multiply_adds` for a Keras model.
    """
    return sum(_products(graph, operator) for operator in graph.operators)


def arena_bytes(graph: Graph) -> int:
    """Bytes for the maps of one run, image and output included, planned as LiteRT does.

    A map is in memory from the operator that writes it to the last that reads it. Not counted are
    weights, scratch memory of single kernels, and memory that a delegate allocates.
    """
    spans = _lifetimes(graph)
    return placed_bytes((graph.tensors[i].size_bytes, *span) for i, span in spans.items())


def delegation(path: Path) -> tuple[int, Counter]:
    """How LiteRT divides a file between XNNPACK and its own kernels.

    Returns: the number of parts that XNNPACK runs (1 is best, because each further part costs a
    transfer there and back), and kind → number of operators left to single-threaded kernels.
    """
    from ai_edge_litert.interpreter import Interpreter

    with without_log_lines():
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
    nodes = interpreter._get_ops_details()  # the only list of what a delegate runs
    parts = [node for node in nodes if node["op_name"] == "DELEGATE"]
    own = [node for node in nodes if node["op_name"] != "DELEGATE"]
    makers = {int(tensor): i for i, node in enumerate(own) for tensor in node["outputs"]}
    taken: set[int] = set()
    for part in parts:
        outside = {int(tensor) for tensor in part["inputs"]}
        waiting = [int(tensor) for tensor in part["outputs"]]
        while waiting:
            tensor = waiting.pop()
            maker = makers.get(tensor)
            if maker is None or tensor in outside or maker in taken:
                continue
            taken.add(maker)
            waiting += [int(i) for i in own[maker]["inputs"]]
    left = Counter(node["op_name"] for i, node in enumerate(own) if i not in taken)
    return len(parts), left


def _products(graph: Graph, operator: Operator) -> int:
    shapes = [graph.tensors[i].shape for i in operator.inputs]
    output = graph.tensors[operator.outputs[0]].shape if operator.outputs else ()
    if operator.kind == "CONV_2D":  # kernel: (outputs, height, width, inputs)
        return math.prod(output) * math.prod(shapes[1][1:])
    if operator.kind == "DEPTHWISE_CONV_2D":  # kernel: (1, height, width, channels)
        return math.prod(output) * math.prod(shapes[1][1:3])
    if operator.kind == "TRANSPOSE_CONV":  # size, kernel: (outputs, height, width, inputs), map
        return math.prod(shapes[2]) * math.prod(shapes[1][:3])
    if operator.kind == "FULLY_CONNECTED":  # kernel: (outputs, inputs)
        return math.prod(shapes[0]) * shapes[1][0]
    if operator.kind == "BATCH_MATMUL":  # (..., n, k) times (..., k, m), or transposed
        columns = output[-1]
        return math.prod(shapes[0]) * columns
    return 0


def _lifetimes(graph: Graph) -> dict[int, tuple[int, int]]:
    """Number of a tensor → first and last operator during which it must be in memory."""
    spans: dict[int, tuple[int, int]] = dict.fromkeys(graph.inputs, (0, 0))
    for i, operator in enumerate(graph.operators):
        for tensor in operator.inputs:
            if tensor in spans:
                spans[tensor] = (spans[tensor][0], i)
        spans |= dict.fromkeys(operator.outputs, (i, i))
    end = len(graph.operators)
    # images stay, so that they can be run again, and outputs until they are read
    kept = {tensor: (spans[tensor][0], end) for tensor in (*graph.inputs, *graph.outputs)}
    return spans | kept
