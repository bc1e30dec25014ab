"""The smallest and largest value of every tensor of a .tflite graph on each calibration image.

One pass over the images serves the file whose ranges cover all of them, those with clipped ranges,
and mixed files.

TensorFlow's own calibrator is not used, because it reads the inputs of an operator after the
operator has run. LiteRT computes additions and products in the memory of an input where it can, so
the calibrator then takes the values of the sum for those of the input. The ranges of such maps came
out up to 20 times too wide. Here the graph itself measures each map before the next operator reads
it. That needs no more memory than running the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from tensorflow.lite.python.convert import mlir_quantize

from keras_seg.export.freed_memory import give_back_freed_memory
from keras_seg.export.options import ExportOptions
from keras_seg.export.tflite.convert import Configure, as_int8, calibrate, image_dtype
from keras_seg.export.tflite.metadata import read_model, write_model
from keras_seg.export.tflite.spellings.editor import FileEditor
from keras_seg.quiet import without_log_lines

EXTREMES = ("REDUCE_MIN", "REDUCE_MAX")


@dataclass(frozen=True)
class MeasuredRanges:
    """A float .tflite file that carries the range of every tensor, over all images.

    Attributes:
        content: the bytes of the file.
        extremes: (images, tensors, 2) smallest and largest values; NaN for tensors without a range.
    """

    content: bytes
    extremes: np.ndarray

    @classmethod
    def of(
        cls, content: bytes, images: Iterable[np.ndarray], threads: int | None = None
    ) -> MeasuredRanges:
        """Runs a float .tflite file on images of (1, H, W, C), one at a time."""
        extremes = _measured(content, images, threads)
        low, high = extremes.min(0)[:, 0], extremes.max(0)[:, 1]
        return cls(_with_new_ranges(content, low, high), extremes)

    def at(self, quantile: float) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) of each tensor that cover the values of a share of the images.

        The image itself keeps its whole range.
        """
        low = np.quantile(self.extremes[..., 0], 1 - quantile, axis=0)
        high = np.quantile(self.extremes[..., 1], quantile, axis=0)
        image = schema.Model.GetRootAs(self.content).Subgraphs(0).Inputs(0)
        low[image], high[image] = np.nan, np.nan
        return low, high


def measuring(results: list[MeasuredRanges]) -> Configure:
    """As `as_int8`, with ranges that are measured image by image and appended to `results`."""

    def configure(
        converter: tf.lite.TFLiteConverter, options: ExportOptions, images: Sequence[np.ndarray]
    ) -> None:
        as_int8(converter, options, images)
        if images:  # otherwise the ranges are in the graph
            measured = _measurer(options, images, results)
            converter._quantize = lambda content, *arguments: _quantized(
                converter, measured(content), *arguments
            )

    return configure


def only_measured(
    converter: tf.lite.TFLiteConverter, options: ExportOptions, images: Sequence[np.ndarray]
) -> None:
    """Lets TensorFlow's converter write a float file with the range of every tensor."""
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    calibrate(converter, options, images)
    measured = _measurer(options, images, [])
    converter._quantize = lambda content, *arguments: measured(content)


def _measurer(
    options: ExportOptions, images: Sequence[np.ndarray], results: list[MeasuredRanges]
) -> Callable[[bytes], bytes]:
    """A function: float file → the same file with ranges."""

    def measured(content: bytes) -> bytes:
        batches = (image[None].astype(image_dtype(options)) for image in images)
        results.append(MeasuredRanges.of(content, batches, options.threads))
        return results[-1].content

    return measured


def _quantized(
    converter: tf.lite.TFLiteConverter,
    content: bytes,
    input_type: tf.DType,
    output_type: tf.DType,
    activations: tf.DType,
    biases: tf.DType,
    allow_float: bool,
    variables: bool,
    debugging: Any,
) -> bytes:
    """What the converter's own method does for int8 files, after calibration."""
    give_back_freed_memory()
    return mlir_quantize(
        content,
        converter._experimental_disable_per_channel,
        input_data_type=input_type,
        output_data_type=output_type,
        enable_variable_quantization=variables,
        debug_options_str=debugging.SerializeToString(),
    )


def _measured(content: bytes, images: Iterable[np.ndarray], threads: int | None) -> np.ndarray:
    """(images, tensors, 2) extremes of a float .tflite file on images; NaN for other tensors."""
    from ai_edge_litert.interpreter import Interpreter

    measuring_file, tensors = _with_measurements(content)
    with without_log_lines():
        interpreter = Interpreter(model_content=measuring_file, num_threads=threads)
        interpreter.allocate_tensors()
    count = schema.Model.GetRootAs(content).Subgraphs(0).TensorsLength()
    (image,), results = interpreter.get_input_details(), interpreter.get_output_details()
    extremes = []
    for pixels in images:
        interpreter.set_tensor(image["index"], pixels)
        interpreter.invoke()
        values = [interpreter.get_tensor(result["index"]) for result in results]
        of_image = np.full((count, 2), np.nan)
        of_image[tensors] = np.reshape(values, (-1, 2))
        extremes.append(of_image)
    return np.stack(extremes)


def _with_measurements(content: bytes) -> tuple[bytes, list[int]]:
    """A file whose outputs are the smallest and largest value of each float map, and these maps."""
    editor = FileEditor(content)
    graph, axes, replacements, tensors = editor.graph, {}, {}, []
    outputs: list[int] = []
    for i, operator in enumerate(graph.operators):
        before = [int(x) for x in graph.inputs if editor.dtype(x) == "FLOAT32"] if i == 0 else []
        after = [int(x) for x in operator.outputs if editor.dtype(x) == "FLOAT32"]
        measurements = []
        for tensor in before + after:
            rank = len(editor.shape(tensor))
            if rank not in axes:
                axes[rank] = editor.new_constant(np.arange(rank, dtype=np.int32), f"axes{rank}")
            for kind in EXTREMES:
                outputs.append(editor.new_map(tensor, (), f"{editor.name(tensor)}.{kind}"))
                measurements.append(
                    editor.new_operator(
                        kind, [tensor, axes[rank]], outputs[-1:], schema.ReducerOptionsT()
                    )
                )
        of_image = len(EXTREMES) * len(before)
        replacements[i] = [*measurements[:of_image], operator, *measurements[of_image:]]
        tensors += before + after
    editor.replace(replacements)
    editor.set_outputs(outputs)
    return editor.content(), tensors


def _with_new_ranges(content: bytes, low: np.ndarray, high: np.ndarray) -> bytes:
    """A float file with ranges, one number per tensor; NaN for tensors without a range."""
    model = read_model(content)
    for tensor, lowest, highest in zip(model.subgraphs[0].tensors, low, high, strict=True):
        if not np.isnan(lowest):
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.min = np.array([lowest], np.float32)
            tensor.quantization.max = np.array([highest], np.float32)
    return write_model(model)


def with_ranges(content: bytes, low: np.ndarray, high: np.ndarray) -> bytes:
    """A calibrated file with other ranges, one number per tensor; NaN changes nothing."""
    changed = bytearray(content)
    for i, quantization in _quantizations(changed):
        if not np.isnan(low[i]):
            quantization.MinAsNumpy()[0] = low[i]  # a view of the file
            quantization.MaxAsNumpy()[0] = high[i]
    return bytes(changed)


def _quantizations(content: bytes | bytearray) -> Iterator[tuple[int, Any]]:
    """(number, record of the range) of the tensors that have one range."""
    graph = schema.Model.GetRootAs(content).Subgraphs(0)
    for i in range(graph.TensorsLength()):
        quantization = graph.Tensors(i).Quantization()
        if quantization is not None and quantization.MinLength() == 1:
            yield i, quantization
