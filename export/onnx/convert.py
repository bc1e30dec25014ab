"""The deployed network as an .onnx file.

`CONVERTERS` has a converter for each kind. A kind is a function that changes the number
format of a float32 graph.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx

from keras_seg.card import CARD_ENTRY
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.export.conversion import ConvertedFile, Converter
from keras_seg.export.errors import ExportError
from keras_seg.export.network.function import function_to_convert
from keras_seg.export.network_to_export import NetworkToExport
from keras_seg.export.onnx.faults import foreign_nodes
from keras_seg.export.onnx.precision import simplified, to_fp16, to_int8
from keras_seg.export.options import ExportOptions

OPSET = 18
OUTPUT = "Identity:0"
"""TensorFlow's name for what a function returns."""
UNDO_FAILED_PASSES = "TF2ONNX_CATCH_ERRORS"
"""tf2onnx's environment variable for what `_without_copies` switches off."""

Precision = Callable[[onnx.ModelProto, Sequence[np.ndarray]], onnx.ModelProto]
"""Changes the number format of a float32 graph. Takes calibration images as the file takes them."""


def as_float32(graph: onnx.ModelProto, images: Sequence[np.ndarray]) -> onnx.ModelProto:
    """The graph, unchanged."""
    return graph


def as_fp16(graph: onnx.ModelProto, images: Sequence[np.ndarray]) -> onnx.ModelProto:
    """Weights and arithmetic in float16."""
    return to_fp16(graph)


def as_int8(graph: onnx.ModelProto, images: Sequence[np.ndarray]) -> onnx.ModelProto:
    """QDQ pairs with ranges measured on the images.

    The graph can be quantized again, with other images.
    """
    return to_int8(graph, images)


def onnx_converter(precision: Precision) -> Converter:
    """The converter of a kind, from its function that changes the number format of a graph."""

    def convert(
        deployed: keras.Model,
        network: NetworkToExport,
        images: Sequence[np.ndarray] = (),
        evaluation: SegmentationDataset | None = None,
    ) -> ConvertedFile:
        return ConvertedFile(onnx_file(float_graph(deployed, network), network, images, precision))

    return convert


CONVERTERS: dict[str | None, Converter] = {
    None: onnx_converter(as_float32),
    "fp16": onnx_converter(as_fp16),
    "int8": onnx_converter(as_int8),
}
"""Value of `quantize` → converter."""


def float_graph(deployed: keras.Model, network: NetworkToExport) -> onnx.ModelProto:
    """The graph of a deployed network in float32, without a card.

    In layout "nhwc" the image and the scores are (1, H, W, C), as everywhere in this package; ONNX
    has channels first, so one transpose follows the image and one precedes the scores. In "nchw"
    they are (1, C, H, W), without transposes. Class maps are (1, H, W) in both.

    Raises: ExportError that names the operators which ONNX does not have.
    """
    options = network.options
    function, spec = function_to_convert(
        deployed,
        options,
        options.input,
        from_logits=network.from_logits,
        multi_label=network.card.multi_label,
        threshold=network.card.threshold,
    )
    try:
        proto = _onnx_of_function(function, spec, options)
        _hold_constants(proto, function.get_concrete_function(spec))
    except Exception as error:  # tf2onnx raises whatever its rewriters run into
        raise ExportError(f"tf2onnx cannot write this network. It says: {error}") from error
    foreign = foreign_nodes(proto)
    if foreign:
        raise ExportError(
            f"ONNX has no operator for {', '.join(foreign)}. Replace that layer, or export to "
            "TFLite."
        )
    _resize_to_sizes(proto)
    _standard_nearest(proto)
    return simplified(proto)


def onnx_file(
    graph: onnx.ModelProto,
    network: NetworkToExport,
    images: Sequence[np.ndarray],
    precision: Precision,
) -> bytes:
    """An .onnx file with its card, from a `float_graph`.

    Args:
        images: (H, W, C) uint8 calibration images, for integer files.
    """
    graph = precision(graph, [_as_input(image, network.options) for image in images])
    onnx.helper.set_model_props(graph, {CARD_ENTRY: network.card.to_json()})
    onnx.checker.check_model(graph, full_check=True)
    return graph.SerializeToString()


def _as_input(image: np.ndarray, options: ExportOptions) -> np.ndarray:
    """(H, W, C) uint8 → (1, H, W, C) or (1, C, H, W) in the type that the file takes."""
    image = image[None] if options.layout == "nhwc" else image[None].transpose(0, 3, 1, 2)
    return np.ascontiguousarray(image, options.input)


def _onnx_of_function(
    function: tf.types.experimental.GenericFunction, spec: tf.TensorSpec, options: ExportOptions
) -> onnx.ModelProto:
    """The ONNX graph of a function, in little memory unless a pass of tf2onnx fails."""
    channels_first = options.layout == "nchw"
    convert = partial(
        tf2onnx.convert.from_function,
        function,
        input_signature=[spec],
        opset=OPSET,
        custom_op_handlers={"Erfc": (_write_erfc, []), "MirrorPad": (_write_mirror_pad, [])},
        inputs_as_nchw=[spec.name] if channels_first else None,
        outputs_as_nchw=[OUTPUT] if channels_first and not options.puts_out_classes else None,
    )
    try:
        with _without_copies():
            return convert()[0]
    except Exception:  # a pass failed and spoilt the graph; with copies tf2onnx undoes it
        return convert()[0]


def _hold_constants(
    proto: onnx.ModelProto, function: tf.types.experimental.ConcreteFunction
) -> None:
    """Writes constants that a layer holds as tensors into the file, instead of as its inputs.

    Normalization holds its mean so. tf2onnx knows the values of variables, not of such tensors.
    """
    captured = function.captured_inputs
    own = function.inputs[len(function.inputs) - len(captured) :]
    values = {x.name: value for x, value in zip(own, captured, strict=True)}
    for entry in [entry for entry in proto.graph.input if entry.name in values]:
        constant = onnx.numpy_helper.from_array(values[entry.name].numpy(), entry.name)
        proto.graph.initializer.append(constant)
        proto.graph.input.remove(entry)


def _write_erfc(context: Any, node: Any, _: str, __: list) -> None:
    """Erfc, which TensorFlow's exact GELU uses and tf2onnx does not know, as 1 - Erf."""
    outputs = node.output
    shapes = [context.get_shape(output) for output in outputs]
    dtypes = [context.get_dtype(output) for output in outputs]
    erf = context.make_node("Erf", node.input, shapes=shapes, dtypes=dtypes)
    one = context.make_const(f"{node.name}/one", np.ones((), np.float32))
    context.remove_node(node.name)
    context.make_node(
        "Sub", [one.output[0], erf.output[0]], outputs=outputs, shapes=shapes, dtypes=dtypes
    )


def _write_mirror_pad(context: Any, node: Any, name: str, arguments: list) -> None:
    """Padding by mirrored pixels. If it is one pixel, border included, the border is repeated.

    tf2onnx would pad twice, and remove rows and columns again by computed masks.
    """
    pads = node.inputs[1].get_tensor_value(as_list=False)
    if node.get_attr_value("mode").decode() != "SYMMETRIC" or pads.max() > 1:
        node.type = "Pad"
        tf2onnx.onnx_opset.nn.Pad.version_11(context, node)
        return
    shapes = [context.get_shape(output) for output in node.output]
    dtypes = [context.get_dtype(output) for output in node.output]
    image, outputs = node.input[0], node.output
    amounts = context.make_const(f"{node.name}/amounts", pads.T.flatten().astype(np.int64))
    context.remove_node(node.name)
    context.make_node(
        "Pad",
        [image, amounts.output[0]],
        attr={"mode": "edge"},
        outputs=outputs,
        shapes=shapes,
        dtypes=dtypes,
    )


@contextlib.contextmanager
def _without_copies() -> Iterator[None]:
    """Lets tf2onnx change its graph in place.

    Otherwise it copies the graph with all weights before each of some 60 passes, to undo one that
    fails, and many copies stay alive: 16 GB for DANet, whose weights take 0.2 GB.
    """
    before = os.environ.get(UNDO_FAILED_PASSES)
    os.environ[UNDO_FAILED_PASSES] = "FALSE"
    try:
        yield
    finally:
        if before is None:
            del os.environ[UNDO_FAILED_PASSES]
        else:
            os.environ[UNDO_FAILED_PASSES] = before


def _resize_to_sizes(proto: onnx.ModelProto) -> None:
    """Gives every Resize by a fractional factor its output size instead.

    tf2onnx writes the factor in float32, which is not exact enough: 3 rows times 5/3 give 4 rows.
    """
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type != "Resize" or len(node.input) != 3 or node.input[2] not in constants:
            continue
        factors = onnx.numpy_helper.to_array(constants[node.input[2]])
        if np.array_equal(factors, factors.round()):
            continue
        # inferred again for each, because the sizes behind earlier ones were wrong
        inferred = onnx.shape_inference.infer_shapes(proto).graph
        (value,) = (v for v in inferred.value_info if v.name == node.input[0])
        shape = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        sizes = np.round(shape * factors.astype(np.float64)).astype(np.int64)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(sizes, f"{node.name}_sizes"))
        node.input[2] = ""
        node.input.append(f"{node.name}_sizes")


def _standard_nearest(proto: onnx.ModelProto) -> None:
    """Writes TensorFlow's grid of nearest neighbours in the terms of the ONNX standard."""
    for node in proto.graph.node:
        words = {attribute.name: attribute for attribute in node.attribute}
        grid = words.get("coordinate_transformation_mode")
        if node.op_type == "Resize" and grid is not None and grid.s == b"tf_half_pixel_for_nn":
            # both are floor((x + 0.5) / factor)
            grid.s = b"half_pixel"
            words["nearest_mode"].s = b"round_prefer_ceil"
