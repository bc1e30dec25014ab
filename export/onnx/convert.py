"""The deployed graph as an .onnx file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from functools import partial

import keras
import numpy as np
import onnx
import tf2onnx

from keras_seg.card import CARD_ENTRY, ModelCard
from keras_seg.export.errors import ExportError
from keras_seg.export.network.deployed import deployed_function
from keras_seg.export.onnx.precision import simplified, to_fp16, to_int8
from keras_seg.export.options import Request
from keras_seg.export.proof.audit import foreign_nodes

OPSET = 18
OUTPUT = "Identity:0"
"""TensorFlow's name for what a function returns."""
UNDO_FAILED_PASSES = "TF2ONNX_CATCH_ERRORS"
"""tf2onnx's environment variable for what `_without_copies` switches off."""


def to_onnx(
    model: keras.Model,
    request: Request,
    card: ModelCard,
    images: Sequence[np.ndarray] = (),
    from_logits: bool = True,
    multi_label: bool = False,
) -> bytes:
    """Converts a deployed model (see `deployed_model`) and writes the card into it.

    Args:
        images: (H, W, C) uint8 calibration images, used for int8 only.

    Raises: ExportError that names the operators which ONNX does not have.
    """
    return onnx_file(float_graph(model, request, from_logits, multi_label), request, card, images)


def float_graph(
    model: keras.Model, request: Request, from_logits: bool = True, multi_label: bool = False
) -> onnx.ModelProto:
    """A deployed model in float32, without a card.

    In the layout "nhwc" the image and the scores are (1, H, W, C), as everywhere in this package;
    ONNX's own order of axes then costs one transpose after the image and one before the scores. In
    "nchw" they are (1, C, H, W), without a transpose. Class maps are (1, H, W) in both.

    Raises: ExportError that names the operators which ONNX does not have.
    """
    function, spec = deployed_function(
        model, request.input, request.head, from_logits, multi_label=multi_label
    )
    try:
        proto = _converted(function, spec, request)
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
    graph: onnx.ModelProto, request: Request, card: ModelCard, images: Sequence[np.ndarray] = ()
) -> bytes:
    """A `float_graph` in the precision that is asked for, with the card in it.

    int8 leaves the graph to be quantized again, with ranges of other images.
    """
    if request.quantize == "fp16":
        graph = to_fp16(graph)
    elif request.quantize == "int8":
        graph = to_int8(graph, [_as_input(image, request) for image in images])
    onnx.helper.set_model_props(graph, {CARD_ENTRY: card.to_json()})
    onnx.checker.check_model(graph, full_check=True)
    return graph.SerializeToString()


def _as_input(image: np.ndarray, request: Request) -> np.ndarray:
    """(H, W, C) uint8 → (1, H, W, C) or (1, C, H, W) in the type that the file takes."""
    image = image[None] if request.layout == "nhwc" else image[None].transpose(0, 3, 1, 2)
    return np.ascontiguousarray(image, request.input)


def _converted(function, spec, request: Request) -> onnx.ModelProto:
    """The ONNX graph of a function, in little memory if every pass of tf2onnx works on it."""
    channels_first = request.layout == "nchw"
    convert = partial(
        tf2onnx.convert.from_function,
        function,
        input_signature=[spec],
        opset=OPSET,
        custom_op_handlers={"Erfc": (_write_erfc, []), "MirrorPad": (_write_mirror_pad, [])},
        inputs_as_nchw=[spec.name] if channels_first else None,
        outputs_as_nchw=[OUTPUT] if channels_first and request.head != "argmax" else None,
    )
    try:
        with _without_copies():
            return convert()[0]
    except Exception:  # a pass failed and spoilt the graph; with copies it is undone
        return convert()[0]


def _hold_constants(proto: onnx.ModelProto, function) -> None:
    """Gives numbers that a layer has as a tensor to the file, which would ask for them as inputs.

    So has Normalization its mean, for which tf2onnx knows no value, as it does for variables.
    """
    captured = function.captured_inputs
    own = function.inputs[len(function.inputs) - len(captured) :]
    values = {x.name: value for x, value in zip(own, captured, strict=True)}
    for entry in [entry for entry in proto.graph.input if entry.name in values]:
        constant = onnx.numpy_helper.from_array(values[entry.name].numpy(), entry.name)
        proto.graph.initializer.append(constant)
        proto.graph.input.remove(entry)


def _write_erfc(context, node, _, __) -> None:
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


def _write_mirror_pad(context, node, name, arguments) -> None:
    """Padding by mirrored pixels; one of them, border included, is the border repeated.

    tf2onnx pads twice for that, and cuts rows and columns out again by computed masks.
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
        *("Pad", [image, amounts.output[0]]),
        attr={"mode": "edge"},
        outputs=outputs,
        shapes=shapes,
        dtypes=dtypes,
    )


@contextlib.contextmanager
def _without_copies() -> Iterator[None]:
    """Lets tf2onnx change its graph in place.

    Otherwise it copies the graph with all weights before each of some 60 passes, to undo one that
    fails, and many copies stay alive: 16 GB for DANet, whose weights have 0.2.
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
    """Lets every Resize by a broken factor say the size that it makes.

    tf2onnx writes the factor, for which 32 bits are too few: 3 rows times 5/3 are 4 rows.
    """
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type != "Resize" or len(node.input) != 3 or node.input[2] not in constants:
            continue
        factors = onnx.numpy_helper.to_array(constants[node.input[2]])
        if np.array_equal(factors, factors.round()):
            continue
        # anew for each, since those before had the wrong size
        inferred = onnx.shape_inference.infer_shapes(proto).graph
        (value,) = (v for v in inferred.value_info if v.name == node.input[0])
        shape = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        sizes = np.round(shape * factors.astype(np.float64)).astype(np.int64)
        proto.graph.initializer.append(onnx.numpy_helper.from_array(sizes, f"{node.name}_sizes"))
        node.input[2] = ""
        node.input.append(f"{node.name}_sizes")


def _standard_nearest(proto: onnx.ModelProto) -> None:
    """Spells the grid of TensorFlow's nearest neighbours as the standard does since opset 13."""
    for node in proto.graph.node:
        words = {attribute.name: attribute for attribute in node.attribute}
        grid = words.get("coordinate_transformation_mode")
        if node.op_type == "Resize" and grid is not None and grid.s == b"tf_half_pixel_for_nn":
            # floor((x + 0.5) / factor) either way
            grid.s = b"half_pixel"
            words["nearest_mode"].s = b"round_prefer_ceil"
