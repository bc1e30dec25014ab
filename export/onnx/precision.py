"""An .onnx graph made simple, in float16, or in int8 as QDQ.

The tools are ONNX Runtime's: its optimizer, its float16 converter and its static quantization. What
they leave to the caller is decided here.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime import quantization

PREPARED = {"onnx.quant.pre_process": "onnxruntime.quant"}
"""How a graph tells the quantizer that it was simplified, so that it does not ask for it."""
FLOAT_OPERATORS = ("Softmax", "LayerNormalization", "InstanceNormalization")
"""What stays float in an int8 file.

Attention over 4,096 pixels has probabilities around 1/4096, which steps of 1/256 round to zero; the
norms are as slow in integers as in float and far less exact.
"""
IMAGE_OPERATORS = ("Cast", "Transpose")
"""What may stand between the image and the operator that quantizes it."""


def simplified(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with batch norms and paddings in their convolutions, and fewer transposes.

    tf2onnx leaves the norms behind depthwise and transposed convolutions, and the transposes
    around operators that it does not look through (pooling indices). Only standard operators come
    out, whatever the machine.
    """
    optimized = _through_files(proto, _optimize)
    used = {node.domain for node in optimized.graph.node}
    versions = [entry for entry in optimized.opset_import if entry.domain in used | {""}]
    del optimized.opset_import[:]
    optimized.opset_import.extend(versions)
    optimized.producer_name, optimized.producer_version = (
        proto.producer_name,
        proto.producer_version,
    )
    _transpose_no_vectors(optimized.graph)
    return optimized


def to_fp16(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in float16; the image and the scores stay as they were, converted at both ends."""
    path = list(sys.path)
    from onnxruntime.transformers.float16 import convert_float_to_float16

    sys.path[:] = path  # that package puts its own folder there
    # no operator keeps float32: the standard has all of them in float16 since opset 13
    converted = convert_float_to_float16(proto, keep_io_types=True, op_block_list=[])
    _casts_first(converted.graph)
    return converted


def to_int8(proto: onnx.ModelProto, images: Sequence[np.ndarray]) -> onnx.ModelProto:
    """The graph with quantized weights, and a pair that quantizes and undoes it at every tensor.

    `proto` can be quantized again, with other images. Maps are uint8, as ONNX Runtime computes
    fastest. Weights are int8 with a scale a channel and use 7 of their 8 bits: x86 processors
    without VNNI add two products in 16 bits, which 8 bits overflow (logits fell from 39 to 17 dB),
    while 7 bits cost up to 1.5 dB and answer alike everywhere. Runtimes merge the pairs into
    integer operators where they have them; the others compute in float. Products of two maps, as in
    attention, and `FLOAT_OPERATORS` stay float.

    Args:
        images: what the graph takes, (1, H, W, C) or (1, C, H, W) in its type, to measure ranges.
    """
    onnx.helper.set_model_props(proto, PREPARED)
    types = {*quantization.registry.QDQRegistry, *quantization.registry.QLinearOpsRegistry}

    def quantize(source: Path, target: Path):
        quantization.quantize_static(
            source,  # of a graph in memory it would move the weights to files that it deletes
            target,
            _Reader(proto.graph.input[0].name, images),
            op_types_to_quantize=sorted(types.difference(FLOAT_OPERATORS)),
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )

    quantized = _through_files(proto, quantize)
    _take_pixels_as_they_are(quantized.graph)
    return quantized


class _Reader(quantization.CalibrationDataReader):
    """Hands images to the quantizer one by one, and then None."""

    def __init__(self, name: str, images: Sequence[np.ndarray]):
        self._feeds: Iterator[dict] = iter([{name: image} for image in images])

    def get_next(self) -> dict | None:
        return next(self._feeds, None)


def _optimize(source: Path, target: Path):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # the basic level alone is the same on every machine and stays within the standard
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def _through_files(proto: onnx.ModelProto, step: Callable[[Path, Path], None]) -> onnx.ModelProto:
    """A step that ONNX Runtime does from file to file."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "source.onnx", Path(folder) / "target.onnx"
        onnx.save(proto, source)
        step(source, target)
        return onnx.load(target)


def _transpose_no_vectors(graph: onnx.GraphProto):
    """Lets a Reshape make (1, C, 1, 1) itself, where it made (1, 1, 1, C) to be transposed."""
    shapes = {tensor.name: tensor for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    inner = {name for node in graph.node for name in node.input}
    for node in [node for node in graph.node if node.op_type == "Transpose"]:
        maker = makers.get(node.input[0])
        if maker is None or maker.op_type != "Reshape" or maker.input[1] not in shapes:
            continue
        shape = onnx.numpy_helper.to_array(shapes[maker.input[1]])
        if (shape != 1).sum() != 1 or _takers(graph, node.input[0]) != 1:
            continue
        if node.output[0] not in inner:  # what the network puts out keeps its name
            continue
        name = f"{maker.name}_shape"
        turned = shape[list(node.attribute[0].ints)]
        graph.initializer.append(onnx.numpy_helper.from_array(turned, name))
        maker.input[1] = name
        _bypass(graph, node)
        _forget_type(graph, maker.output[0])
    used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def _take_pixels_as_they_are(graph: onnx.GraphProto):
    """Lets a uint8 image be the quantized map itself, instead of cast to float and back.

    Calibration images hold 0 and 255, so that the scale of the image is 1 and its zero point 0.
    """
    (image,) = graph.input
    if image.type.tensor_type.elem_type != onnx.TensorProto.UINT8:
        return
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    for node in [node for node in graph.node if node.op_type == "QuantizeLinear"]:
        way = _way_from(image.name, node, makers)
        if way is None or not _is_identity(node, constants):
            continue
        casts = [part for part in way if part.op_type == "Cast"]
        if len(casts) != 1 or any(_takers(graph, part.output[0]) != 1 for part in way):
            continue
        _bypass(graph, casts[0])
        _bypass(graph, node)
        for part in way:  # their types were inferred before
            _forget_type(graph, part.output[0])


def _way_from(name: str, node, makers: dict) -> list | None:
    """The nodes between a tensor and a node, None if others than IMAGE_OPERATORS are there."""
    way = []
    while node.input[0] != name:
        node = makers.get(node.input[0])
        if node is None or node.op_type not in IMAGE_OPERATORS:
            return None
        way.append(node)
    return way


def _is_identity(node, constants: dict) -> bool:
    scale, zero_point = (onnx.numpy_helper.to_array(constants[name]) for name in node.input[1:3])
    return scale == 1 and zero_point == 0 and zero_point.dtype == np.uint8


def _casts_first(graph: onnx.GraphProto):
    """Moves the cast of the image, which the converter appends at the end, to the beginning."""
    casts = [node for node in graph.node if node.input[:1] == [graph.input[0].name]]
    for node in casts:
        graph.node.remove(node)
        graph.node.insert(0, node)


def _takers(graph: onnx.GraphProto, name: str) -> int:
    return sum(name in node.input for node in graph.node)


def _bypass(graph: onnx.GraphProto, gone):
    """Takes a node out; whoever took its output takes its input."""
    graph.node.remove(gone)
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == gone.output[0]:
                node.input[i] = gone.input[0]


def _forget_type(graph: onnx.GraphProto, name: str):
    for value in [value for value in graph.value_info if value.name == name]:
        graph.value_info.remove(value)
