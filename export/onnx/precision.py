"""An .onnx graph simplified, in float16, or in int8 with QDQ pairs.

The tools are ONNX Runtime's: its optimizer, its float16 converter and its static quantization. This
module chooses their settings and corrects their results.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime import quantization
from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

from keras_seg.export.onnx.on_disk import TARGET, loaded, through_files
from keras_seg.export.onnx.ranges import MeasuredRanges, quantized_types

IMAGE_OPERATORS = ("Cast", "Transpose")
"""Operators that may come between the image and the operator that quantizes it."""


def simplified(source: Path) -> onnx.ModelProto:
    """The graph of a file with batch norms and paddings folded into convolutions.

    tf2onnx leaves batch norms behind depthwise and transposed convolutions, and transposes around
    operators that it cannot look through (pooling indices), most of which are removed. The result
    has standard operators only, and is the same on every machine.
    """
    target = source.with_name(TARGET)
    _optimize(source, target)
    optimized = loaded(target)
    used = {node.domain for node in optimized.graph.node}
    versions = [entry for entry in optimized.opset_import if entry.domain in used | {""}]
    del optimized.opset_import[:]
    optimized.opset_import.extend(versions)
    _transpose_no_vectors(optimized.graph)
    return optimized


def to_fp16(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The graph in float16; image and scores keep their types and are converted at both ends."""
    path = list(sys.path)
    from onnxruntime.transformers.float16 import convert_float_to_float16

    sys.path[:] = path  # that package puts its own folder there
    # no operator keeps float32: the standard has all of them in float16 since opset 13
    converted = convert_float_to_float16(proto, keep_io_types=True, op_block_list=[])
    _casts_first(converted.graph)
    return converted


def to_int8(proto: onnx.ModelProto, images: Iterable[np.ndarray]) -> onnx.ModelProto:
    """The graph with quantized weights, and a QDQ pair at every tensor; see `quantized`.

    `proto` is not changed and can be quantized again, with other images.

    Args:
        images: to measure ranges on, as the graph takes them: (1, H, W, C) or (1, C, H, W).
    """
    return quantized(proto, MeasuredRanges.of(proto, images).over())


def quantized(proto: onnx.ModelProto, ranges: quantization.TensorsData) -> onnx.ModelProto:
    """The graph in int8, with these ranges of its maps.

    - Maps are uint8, which is fastest in ONNX Runtime.
    - Weights are int8 with a scale per channel and use 7 of their 8 bits. x86 processors without
      VNNI add two products in 16 bits, which 8-bit weights overflow (logits fell from 39 to 17 dB);
      7 bits cost up to 1.5 dB and give the same results everywhere.
    - Runtimes fuse the pairs into integer operators where they have them, and compute the other
      operators in float. Products of two maps, as in attention, and `FLOAT_OPERATORS` stay float.
    """

    def quantize(source: Path, target: Path) -> None:
        quantizer = quantization.QDQQuantizer(
            load_model_with_shape_infer(source),
            per_channel=True,
            reduce_range=True,
            weight_qType=quantization.QuantType.QInt8,
            activation_qType=quantization.QuantType.QUInt8,
            tensors_range=ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=[],
            op_types_to_quantize=quantized_types(),
            extra_options={"MatMulConstBOnly": True},
        )
        quantizer.quantize_model()
        quantizer.model.save_model_to_file(target)

    result = through_files(proto, quantize)
    _take_pixels_as_they_are(result.graph)
    return result


def _optimize(source: Path, target: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # the basic level alone is the same on every machine and stays within the standard
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def _transpose_no_vectors(graph: onnx.GraphProto) -> None:
    """Lets a Reshape produce (1, C, 1, 1) directly, instead of (1, 1, 1, C) and a Transpose."""
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
        if node.output[0] not in inner:  # what the network outputs keeps its name
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


def _take_pixels_as_they_are(graph: onnx.GraphProto) -> None:
    """Uses a uint8 image as the quantized map itself, without a cast to float and back.

    Calibration images contain 0 and 255, so the scale of the image is 1 and its zero point 0.
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
        for part in way:  # their types were inferred with the cast
            _forget_type(graph, part.output[0])


def _way_from(
    name: str, node: onnx.NodeProto, makers: dict[str, onnx.NodeProto]
) -> list[onnx.NodeProto] | None:
    """The nodes between a tensor and a node; None if one of them is not in IMAGE_OPERATORS."""
    way = []
    while node.input[0] != name:
        node = makers.get(node.input[0])
        if node is None or node.op_type not in IMAGE_OPERATORS:
            return None
        way.append(node)
    return way


def _is_identity(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    scale, zero_point = (onnx.numpy_helper.to_array(constants[name]) for name in node.input[1:3])
    return scale == 1 and zero_point == 0 and zero_point.dtype == np.uint8


def _casts_first(graph: onnx.GraphProto) -> None:
    """Moves the cast of the image, which the converter appends at the end, to the beginning."""
    casts = [node for node in graph.node if node.input[:1] == [graph.input[0].name]]
    for node in casts:
        graph.node.remove(node)
        graph.node.insert(0, node)


def _takers(graph: onnx.GraphProto, name: str) -> int:
    return sum(name in node.input for node in graph.node)


def _bypass(graph: onnx.GraphProto, gone: onnx.NodeProto) -> None:
    """Removes a node; readers of its output read its input instead."""
    graph.node.remove(gone)
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == gone.output[0]:
                node.input[i] = gone.input[0]


def _forget_type(graph: onnx.GraphProto, name: str) -> None:
    for value in [value for value in graph.value_info if value.name == name]:
        graph.value_info.remove(value)
