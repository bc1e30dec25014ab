"""The smallest and largest value of every tensor of a .tflite graph on each calibration image.

One pass over the images serves the file whose ranges cover all of them, and those with clipped
ranges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from tensorflow.lite.python.convert import mlir_quantize
from tensorflow.lite.python.optimize import calibrator

from keras_seg.export.options import ExportOptions
from keras_seg.export.tflite.convert import Configure, as_int8, image_dtype


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
    def of(cls, content: bytes, images: Iterable[np.ndarray]) -> MeasuredRanges:
        """Runs a float .tflite file on images of (1, H, W, C)."""
        content, measured, extremes = calibrator.add_intermediate_tensors(content), b"", []
        for image in images:
            # one calibrator would widen the ranges of the images before
            single = calibrator.Calibrator(content)
            measured = single.calibrate(lambda image=image: iter([[image]]))
            extremes.append(_ranges(measured))
        low, high = np.stack(extremes).min(0)[:, 0], np.stack(extremes).max(0)[:, 1]
        return cls(with_ranges(measured, low, high), np.stack(extremes))

    def at(self, quantile: float) -> tuple[np.ndarray, np.ndarray]:
        """(low, high) of each tensor that cover the values of a share of the images.

        The image itself keeps its whole range.
        """
        low = np.quantile(self.extremes[..., 0], 1 - quantile, axis=0)
        high = np.quantile(self.extremes[..., 1], quantile, axis=0)
        image = schema.Model.GetRootAs(self.content).Subgraphs(0).Inputs(0)
        low[image], high[image] = np.nan, np.nan
        return low, high


def measuring(found: list[MeasuredRanges]) -> Configure:
    """As `as_int8`, with ranges that are measured image by image and put into a list."""

    def configure(
        converter: tf.lite.TFLiteConverter, options: ExportOptions, images: Sequence[np.ndarray]
    ) -> None:
        as_int8(converter, options, images)
        if images:
            dtype = image_dtype(options)
            converter._quantize = lambda *arguments: _quantize(
                converter, (image[None].astype(dtype) for image in images), found, *arguments
            )

    return configure


def _quantize(
    converter: tf.lite.TFLiteConverter,
    images: Iterable[np.ndarray],
    found: list[MeasuredRanges],
    content: bytes,
    input_type: tf.DType,
    output_type: tf.DType,
    activations: tf.DType,
    biases: tf.DType,
    allow_float: bool,
    variables: bool,
    debugging: Any,
) -> bytes:
    """What the converter's own method does for int8 files."""
    found.append(MeasuredRanges.of(content, images))
    return mlir_quantize(
        found[-1].content,
        converter._experimental_disable_per_channel,
        input_data_type=input_type,
        output_data_type=output_type,
        enable_variable_quantization=variables,
        debug_options_str=debugging.SerializeToString(),
    )


def with_ranges(content: bytes, low: np.ndarray, high: np.ndarray) -> bytes:
    """A calibrated file with other ranges, one number per tensor; NaN changes nothing."""
    changed = bytearray(content)
    for i, quantization in _quantizations(changed):
        if not np.isnan(low[i]):
            quantization.MinAsNumpy()[0] = low[i]  # a view of the file
            quantization.MaxAsNumpy()[0] = high[i]
    return bytes(changed)


def _ranges(content: bytes) -> np.ndarray:
    """(tensors, 2) ranges in a calibrated file; NaN for tensors without one."""
    count = schema.Model.GetRootAs(content).Subgraphs(0).TensorsLength()
    ranges = np.full((count, 2), np.nan)
    for i, quantization in _quantizations(content):
        ranges[i] = quantization.Min(0), quantization.Max(0)
    return ranges


def _quantizations(content: bytes | bytearray) -> Iterator[tuple[int, Any]]:
    """(number, record of the range) of the tensors that have one range."""
    graph = schema.Model.GetRootAs(content).Subgraphs(0)
    for i in range(graph.TensorsLength()):
        quantization = graph.Tensors(i).Quantization()
        if quantization is not None and quantization.MinLength() == 1:
            yield i, quantization
