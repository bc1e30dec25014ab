"""Operators of an .onnx graph that a runtime may lack, or compute in float."""

from __future__ import annotations

import onnx

from keras_seg.export.onnx.graph import ACTIVATIONS, DEQUANTIZE, MOVES, QUANTIZE, Shapes

FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)


def foreign_nodes(proto: onnx.ModelProto) -> list[str]:
    """ "type (name)" of the nodes that are not operators of the ONNX standard."""
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    return [
        f"{node.op_type} ({node.name})"
        for node in proto.graph.node
        if not onnx.defs.has(node.op_type, versions.get(node.domain, 1), node.domain)
    ]


def float_islands(shapes: Shapes) -> list[str]:
    """ "operator (name)" that an int8 file computes in float, because no QDQ pairs surround it.

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
    """Whether every float map that a node reads was converted from integers."""
    for name in node.input:
        if not name or name in shapes.constants or shapes.dtype.get(name) not in FLOATS:
            continue
        maker = shapes.makers.get(name)
        if maker is None:
            return False
        if maker.op_type == DEQUANTIZE:
            continue
        # an activation fuses with the operator before it, a move changes no value
        if maker.op_type not in MOVES and not (
            node.op_type in ACTIVATIONS and maker.op_type not in ACTIVATIONS
        ):
            return False
        if not _from_integers(shapes, maker):
            return False
    return True


def _to_integers(shapes: Shapes, node: onnx.NodeProto, outputs: set[str]) -> bool:
    """Whether all outputs of a node are converted to integers, or are outputs of the network."""
    for name in node.output:
        if name in outputs:
            continue
        for taker in shapes.takers.get(name, []):
            through = taker.op_type in (*ACTIVATIONS, *MOVES)
            if taker.op_type != QUANTIZE and not (through and _to_integers(shapes, taker, outputs)):
                return False
    return True
