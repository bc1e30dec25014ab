"""The deployed graph as a .tflite file of built-in operators."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from keras_seg.export.aware.tflite import settle, with_rounded_head
from keras_seg.export.errors import ExportError
from keras_seg.export.network.deployed import deployed_function
from keras_seg.export.options import CALIBRATED, Request
from keras_seg.export.trained_ranges import is_quantization_aware

OPERATOR = re.compile(r"'?tf\.(\w+)'? op is neither a custom op nor a flex op")
"""How the converter names an operator that it cannot write."""
UNRANGED = re.compile(r"Failed for tensor (\S+)")
"""How the 16-bit quantizer names the result of an operator that it cannot take in."""
INT16 = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8


def to_tflite(
    model: keras.Model,
    request: Request,
    images: Sequence[np.ndarray],
    from_logits: bool = True,
    multi_label: bool = False,
) -> bytes:
    """Converts a deployed model (see `deployed_model`).

    Args:
        images: (H, W, C) uint8 calibration images, used for integer files only.

    int8 files with input "uint8" or "int8" take and give such integers only: scores come out with
    a scale. With input "float32" they convert at both ends themselves, and so do int16x8 files
    always, because 16 bits have no uint8 image and no argmax.

    Raises: ExportError that names the operators which TFLite does not have.
    """
    return _converted(model, request, images, from_logits, multi_label)


def calibrated_content(
    model: keras.Model,
    request: Request,
    images: Sequence[np.ndarray],
    from_logits: bool = True,
    multi_label: bool = False,
) -> bytes:
    """A float .tflite file with the range of every tensor in it; otherwise as `to_tflite`."""
    return _converted(model, request, images, from_logits, multi_label, only_calibrate=True)


def _converted(model, request, images, from_logits, multi_label, only_calibrate=False) -> bytes:
    trained_ranges = is_quantization_aware(model)
    if trained_ranges:
        settle(model)
    function, spec = deployed_function(
        model,
        converter_input(request),
        request.head,
        from_logits,
        request.class_type,
        multi_label=multi_label,
    )
    if trained_ranges:
        function = with_rounded_head(function, request.head)
    concrete = function.get_concrete_function(spec)
    with _quiet():
        # without a trackable object the variables become constants, which then fold; with one, a
        # Keras 3 model's variables stay resources of the file
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
        _configure(converter, request, [] if trained_ranges else images)
        converter._experimental_calibrate_only = only_calibrate  # as tf.lite's own debugger does
        try:
            return converter.convert()
        except Exception as error:  # the converter raises its own, ValueError and RuntimeError
            raise _explained(error, concrete.graph, model, request) from error


def converter_input(request: Request) -> str:
    """Type of the image in the graph that is converted.

    A file of int8 takes pixels by the quantization of its input, the others by a cast.
    """
    return "float32" if request.quantize in ("int8", "mixed") else request.input


def _configure(converter, request: Request, images: Sequence[np.ndarray]):
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if request.quantize is None:
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if request.quantize == "fp16":
        converter.target_spec.supported_types = [tf.float16]
    elif request.quantize in CALIBRATED and images:
        converter.representative_dataset = lambda: (
            [image[None].astype(converter_input(request))] for image in images
        )
    if request.quantize == "int16x8":
        # float operators are let in for the cast of the image and the argmax; the audit refuses
        # others by name, where the converter would stop at those two
        converter.target_spec.supported_ops = [INT16, tf.lite.OpsSet.TFLITE_BUILTINS]
    elif request.quantize == "int8":
        if images:  # else the converter finds trained ranges in the graph
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type, converter.inference_output_type = types_of_ends(request)


def types_of_ends(request: Request) -> tuple[tf.DType, tf.DType]:
    """Types of image and scores of an int8 file; class maps are integers in the graph already."""
    image = tf.as_dtype(request.input)
    return image, tf.float32 if request.puts_out == "argmax" else image


def _explained(
    error: Exception, graph: tf.Graph, model: keras.Model, request: Request
) -> ExportError:
    operators = sorted(set(OPERATOR.findall(str(error))))
    unranged = UNRANGED.search(str(error))
    if unranged and request.quantize == "int16x8":
        node = unranged.group(1).split(";")[-1]
        return ExportError(
            f"TFLite has no int16x8 form of {node.rsplit('/', 1)[-1]}, which this layer uses: "
            f"{layer_of(node, model)}. Use quantize='int8', 'dynamic' or 'fp16'."
        )
    if not operators:
        return ExportError(
            f"The TFLite converter cannot write this network in {request.quantize or 'float32'}. "
            f"It says: {str(error).strip()[-600:]}"
        )
    layers = sorted(
        {layer_of(node.name, model) for node in graph.get_operations() if node.type in operators}
    )
    return ExportError(
        f"TFLite has no built-in operator for {', '.join(operators)}, which these layers use: "
        f"{', '.join(layers)}. Replace them, or export to ONNX."
    )


def layer_of(node: str, model: keras.Model) -> str:
    """The layer that a graph's node "network_1/pool_1/MaxPoolWithArgmax" comes from: "pool"."""
    names = {layer.name for layer in model._flatten_layers(include_self=False)}
    for scope in reversed(node.split("/")):
        for name in (scope, re.sub(r"_\d+$", "", scope)):  # Keras numbers what it traces again
            if name in names:
                return name
    return node


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back the converter's remarks on how it was called; errors still come through."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
