"""int8 files, whose ranges are clipped if outlier calibration images widen them too much.

The converter gives a tensor the range from the smallest to the largest value that it had on any
calibration image. If a product is unbounded, as in the gates of ResUNet++, one unusual image
reaches hundreds of times the values of the others, which are then left with a few steps around
zero. A clipped range is narrower, and cuts off the values outside.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple, Protocol

import keras
import numpy as np
import onnx
import tensorflow as tf
from rich.console import Console

from keras_seg.data.dataset import SegmentationDataset
from keras_seg.export.aware.rewrite import quantization_aware
from keras_seg.export.aware.trained_ranges import float_layers, is_quantization_aware
from keras_seg.export.conversion import ClippedRanges, ConvertedFile
from keras_seg.export.errors import ExportError
from keras_seg.export.int8.loss import OtherClasses, loss_of_file
from keras_seg.export.network.deployed import deployed_model
from keras_seg.export.network_to_export import NetworkToExport
from keras_seg.export.onnx.convert import as_int8 as onnx_int8
from keras_seg.export.onnx.convert import float_graph, onnx_file
from keras_seg.export.tflite.convert import as_int8 as tflite_int8
from keras_seg.export.tflite.convert import tflite_file
from keras_seg.inference.keras_runner import KerasRunner
from keras_seg.layers import FakeQuantize

ACCEPTED = 5.0
"""Percent of the calibration pixels that may change class before clipped ranges are tried."""
WORTH = 0.75
"""Clipped ranges are used if they reduce that loss to this share: they cut off values, too."""
QUANTILES = (0.9, 0.8, 0.75, 0.7, 0.6, 0.5)
TINY = 1e-6
"""Range of a tensor that is zero on most images."""


class Trial(NamedTuple):
    """Ranges that cover the values of a share of the images, with their loss and their file."""

    quantile: float
    loss: float
    file: Callable[[], bytes]


class RangesOfFile(Protocol):
    """How the files of one format get their ranges."""

    def unclipped(self) -> bytes:
        """The file whose ranges cover the values of all images."""

    def trials(self, aware: keras.Model, loss: OtherClasses) -> Iterator[Trial]:
        """Clipped ranges, each with what it loses.

        Args:
            aware: the network with the roundings of its int8 file.
        """


def int8_tflite(
    deployed: keras.Model,
    network: NetworkToExport,
    images: Sequence[np.ndarray],
    evaluation: SegmentationDataset | None = None,
) -> ConvertedFile:
    """Converter of TFLite in int8."""
    return _with_best_ranges(TensorRanges(deployed, network, images), network, images)


def int8_onnx(
    deployed: keras.Model,
    network: NetworkToExport,
    images: Sequence[np.ndarray],
    evaluation: SegmentationDataset | None = None,
) -> ConvertedFile:
    """Converter of ONNX in int8."""
    graph = float_graph(deployed, network)
    return _with_best_ranges(ImageSubsets(graph, network, images), network, images)


def _with_best_ranges(
    ranges: RangesOfFile, network: NetworkToExport, images: Sequence[np.ndarray]
) -> ConvertedFile:
    """Converts, measures, and converts once more if clipped ranges lose clearly less."""
    content = ranges.unclipped()
    if is_quantization_aware(network.model):  # its ranges were trained
        return ConvertedFile(content)
    loss = OtherClasses(network.reference, images)
    before = loss_of_file(content, network, loss)
    if before <= ACCEPTED:
        return ConvertedFile(content)
    try:
        aware = quantization_aware(network.model, subpixel=network.options.subpixel)
    except ExportError:
        return ConvertedFile(content)
    console = Console(file=sys.stderr, markup=False, emoji=False)
    console.print(f"int8: {before:.1f} {loss.measure}; looking for ranges that fit more images")
    best: Trial | None = None
    for trial in ranges.trials(aware, loss):
        console.print(f"  ranges of {trial.quantile:.0%} of the images: {trial.loss:.1f} %")
        if trial.loss <= WORTH * before and (best is None or trial.loss < best.loss):
            best = trial
    if best is None:
        return ConvertedFile(content)
    clipped = best.file()
    after = loss_of_file(clipped, network, loss)
    if after > WORTH * before:
        return ConvertedFile(content)
    return ConvertedFile(clipped, clipped=ClippedRanges(best.quantile, after, before))


@dataclass(frozen=True)
class TensorRanges:
    """TFLite: each range ends at a quantile of the extremes that the tensor had on each image."""

    deployed: keras.Model
    network: NetworkToExport
    images: Sequence[np.ndarray]

    def unclipped(self) -> bytes:
        return tflite_file(self.deployed, self.network, self.images, tflite_int8)

    def trials(self, aware: keras.Model, loss: OtherClasses) -> Iterator[Trial]:
        """Trials in Keras, since the network rounds as the file will; none if layers stay float."""
        if float_layers(aware):
            return
        reference = self.network.reference
        rounded = KerasRunner(
            aware,
            replace(reference.card, head=reference.own_head),
            input_shape=self.network.shape,
            head=self.network.options.runner_head,
            scores=reference.own_head,
        )
        extremes = _extremes(aware, self.images)
        for quantile in (1.0, *QUANTILES):
            _end_at(quantile, extremes)
            yield Trial(quantile, loss(rounded), partial(self._file, quantile, aware, extremes))

    def _file(self, quantile: float, aware: keras.Model, extremes: list[Extremes]) -> bytes:
        _end_at(quantile, extremes)
        return tflite_file(deployed_model(aware, self.network.shape), self.network, (), tflite_int8)


@dataclass(frozen=True)
class ImageSubsets:
    """ONNX: ranges are measured on the images without the most unusual ones."""

    graph: onnx.ModelProto
    network: NetworkToExport
    images: Sequence[np.ndarray]

    def unclipped(self) -> bytes:
        return self._file(self.images)

    def trials(self, aware: keras.Model, loss: OtherClasses) -> Iterator[Trial]:
        """Trials with the files themselves."""
        reach = [np.abs(values).max((1, 2)) for _, values in _extremes(aware, self.images)]
        # the largest ratio of an image to the median image, over all tensors
        unusual = np.max([values / max(np.median(values), TINY) for values in reach], axis=0)
        tried = {len(self.images)}
        for quantile in QUANTILES:
            count = math.ceil(quantile * len(self.images))
            if count in tried:
                continue
            tried.add(count)
            file = self._file([self.images[i] for i in np.argsort(unusual)[:count]])
            yield Trial(quantile, loss_of_file(file, self.network, loss), partial(bytes, file))

    def _file(self, images: Sequence[np.ndarray]) -> bytes:
        return onnx_file(self.graph, self.network, images, onnx_int8)


Extremes = tuple[FakeQuantize, np.ndarray]
"""A measured range, with (images, tensors that share it, 2) smallest and largest values."""


def _extremes(aware: keras.Model, images: Sequence[np.ndarray]) -> list[Extremes]:
    ranges = [x for x in aware.layers if isinstance(x, FakeQuantize) and x.fixed is None]
    for layer in ranges:
        layer.momentum = 0.0  # so that only the last image counts
    spec = tf.TensorSpec((1, *images[0].shape), tf.float32)
    run = tf.function(lambda pixels: aware(pixels, training=True), input_signature=[spec])
    values: list[list[np.ndarray]] = [[] for _ in ranges]
    for image in images:
        run(tf.constant(image[None], tf.float32))
        for seen, layer in zip(values, ranges, strict=True):
            seen.append(np.asarray(layer.extremes))
    return [(layer, np.stack(seen)) for layer, seen in zip(ranges, values, strict=True)]


def _end_at(quantile: float, extremes: list[Extremes]) -> None:
    """Sets each range to a quantile of its extremes."""
    for layer, values in extremes:
        low = np.quantile(values[..., 0], 1 - quantile, axis=0)
        high = np.quantile(values[..., 1], quantile, axis=0)
        layer.extremes.assign(np.stack([low, high], axis=-1))
