"""The deployed network as a .tflite file of built-in operators.

`CONVERTERS` has a converter for each kind that TensorFlow's own converter writes in one pass. A
kind is a function that configures that converter.
"""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from keras_seg.data.dataset import SegmentationDataset
from keras_seg.export.aware.trained_ranges import (
    freeze_ranges,
    is_quantization_aware,
    with_rounded_head,
)
from keras_seg.export.conversion import ConvertedFile, Converter
from keras_seg.export.errors import ExportError
from keras_seg.export.network.function import function_to_convert
from keras_seg.export.network_to_export import NetworkToExport
from keras_seg.export.options import HEADS, ExportOptions
from keras_seg.export.tflite.freezing import (
    converter_of,
    files_written_in_little_memory,
    has_float_kernels,
    write_kernels_late,
)
from keras_seg.export.tflite.late_weights import NotFilledError
from keras_seg.export.tflite.metadata import with_card
from keras_seg.export.tflite.spellings.respell import respelled
from keras_seg.quiet import without_log_lines

OPERATOR = re.compile(r"'?tf\.(\w+)'? op is neither a custom op nor a flex op")
"""How the converter names an operator that it cannot write."""
UNRANGED = re.compile(r"Failed for tensor (\S+)")
"""How the 16-bit quantizer names the result of an operator that it does not support."""
FLOAT_OPERATORS = tf.lite.OpsSet.TFLITE_BUILTINS
INT8_OPERATORS = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
INT16_OPERATORS = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8

Configure = Callable[[tf.lite.TFLiteConverter, ExportOptions, Sequence[np.ndarray]], None]
"""Sets up TensorFlow's converter for a kind, from the options and the calibration images."""


def as_float32(
    converter: tf.lite.TFLiteConverter, options: ExportOptions, images: Sequence[np.ndarray]
) -> None:
    """Leaves weights and arithmetic in float32."""


def as_fp16(
    converter: tf.lite.TFLiteConverter, options: ExportOptions, images: Sequence[np.ndarray]
) -> None:
    """Weights in float16."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def as_dynamic(
    converter: tf.lite.TFLiteConverter, options: ExportOptions, images: Sequence[np.ndarray]
) -> None:
    """Weights in int8; maps are quantized at run time where LiteRT has such kernels."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def as_int8(
    converter: tf.lite.TFLiteConverter, options: ExportOptions, images: Sequence[np.ndarray]
) -> None:
    """Everything in int8, with measured ranges, or with the trained ranges in the graph.

    Files with input "uint8" or "int8" take and return such integers only; scores have a scale. With
    input "float32" they convert at both ends themselves.
    """
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter._experimental_disable_per_channel = not options.device.per_channel
    if images:
        calibrate(converter, options, images)
        converter.target_spec.supported_ops = [INT8_OPERATORS]
    converter.inference_input_type, converter.inference_output_type = types_of_ends(options)


def as_int16x8(
    converter: tf.lite.TFLiteConverter, options: ExportOptions, images: Sequence[np.ndarray]
) -> None:
    """Weights in int8 and maps in int16, with float at both ends.

    TFLite has neither a uint8 image nor an argmax with 16 bits, so these may be computed in float.
    The audit refuses other float operators by name; the converter would stop at these two, too.
    """
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    calibrate(converter, options, images)
    converter.target_spec.supported_ops = [INT16_OPERATORS, FLOAT_OPERATORS]


def calibrate(
    converter: tf.lite.TFLiteConverter, options: ExportOptions, images: Sequence[np.ndarray]
) -> None:
    """Lets the converter measure the range of every tensor on (H, W, C) uint8 images."""
    dtype = image_dtype(options)
    converter.representative_dataset = lambda: ([image[None].astype(dtype)] for image in images)


def tflite_converter(configure: Configure) -> Converter:
    """The converter of a kind, from what configures TensorFlow's converter for it."""

    def convert(
        deployed: keras.Model,
        network: NetworkToExport,
        images: Sequence[np.ndarray] = (),
        evaluation: SegmentationDataset | None = None,
    ) -> ConvertedFile:
        return ConvertedFile(tflite_file(deployed, network, images, configure))

    return convert


CONVERTERS: dict[str | None, Converter] = {
    None: tflite_converter(as_float32),
    "fp16": tflite_converter(as_fp16),
    "dynamic": tflite_converter(as_dynamic),
    "int8": tflite_converter(as_int8),
    "int16x8": tflite_converter(as_int16x8),
}
"""Value of `quantize` → converter."""


def tflite_file(
    deployed: keras.Model,
    network: NetworkToExport,
    images: Sequence[np.ndarray],
    configure: Configure,
) -> bytes:
    """A .tflite file with its card.

    Args:
        deployed: see `keras_seg.export.network.deployed.deploy`. A quantization-aware network
            has trained ranges, and needs no images.
        images: (H, W, C) uint8 calibration images, for integer files.

    Raises: ExportError that names the operators which TFLite does not have.
    """
    options = network.options
    # none of the steps has a name here, so that each is released by the next
    return with_card(
        respelled(tflite_graph(deployed, network, images, configure), options.device),
        network.card,
        HEADS[options.head or "logits"],
    )


def tflite_graph(
    deployed: keras.Model,
    network: NetworkToExport,
    images: Sequence[np.ndarray],
    configure: Configure,
) -> bytes:
    """A .tflite file without a card; otherwise as `tflite_file`."""
    options, has_ranges = network.options, is_quantization_aware(deployed)
    if has_ranges:
        freeze_ranges(deployed)
        images = ()
    function, spec = function_to_convert(
        deployed,
        options,
        image_dtype(options),
        from_logits=network.from_logits,
        multi_label=network.card.multi_label,
        threshold=network.card.threshold,
    )
    if has_ranges:
        function = with_rounded_head(function, options.head)
    concrete = function.get_concrete_function(spec)

    def converted(*, late: bool) -> bytes:
        converter = converter_of(concrete)
        converter.target_spec.supported_ops = [FLOAT_OPERATORS]
        configure(converter, options, images)
        if late and has_float_kernels(converter):
            write_kernels_late(converter, concrete)
        return converter.convert()

    with _quiet(), without_log_lines(), files_written_in_little_memory():
        try:
            with contextlib.suppress(NotFilledError):
                return converted(late=not has_ranges)
            return converted(late=False)
        except Exception as error:  # the converter raises its own, ValueError and RuntimeError
            raise _explained(error, concrete.graph, deployed, options) from error


def image_dtype(options: ExportOptions) -> str:
    """Type of the image in the graph that is converted.

    Kinds that can take int8 images quantize the image like every other map; the others cast it.
    """
    return "float32" if "int8" in options.kind.images else options.input


def types_of_ends(options: ExportOptions) -> tuple[tf.DType, tf.DType]:
    """Types of image and scores of an int8 file; class maps are integers in the graph already."""
    image = tf.as_dtype(options.input)
    return image, tf.float32 if options.puts_out_classes else image


def _explained(
    error: Exception, graph: tf.Graph, model: keras.Model, options: ExportOptions
) -> ExportError:
    kind, text = options.kind, str(error)
    operators = sorted(set(OPERATOR.findall(text)))
    unranged = UNRANGED.search(text)
    if unranged and kind.try_instead:
        node = unranged.group(1).split(";")[-1]
        return ExportError(
            f"TFLite has no {kind.label} form of {node.rsplit('/', 1)[-1]}, which this layer uses: "
            f"{layer_of(node, model)}. Use {kind.try_instead}."
        )
    if not operators:
        return ExportError(
            f"The TFLite converter cannot write this network in {kind.label}. "
            f"It says: {text.strip()[-600:]}"
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
    """Suppresses the converter's remarks on how it was called; errors still come through."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
