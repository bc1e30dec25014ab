"""int8 files, whose ranges are clipped if outlier calibration images widen them too much.

The converter gives a tensor the range from the smallest to the largest value that it had on any
calibration image. If a product is unbounded, as in the gates of ResUNet++, one unusual image
reaches hundreds of times the values of the others, which are then left with a few steps around
zero. A clipped range is narrower, and cuts off the values outside.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import keras
import numpy as np
import onnx
from rich.console import Console

from keras_seg.data.dataset import SegmentationDataset
from keras_seg.export.aware.trained_ranges import is_quantization_aware
from keras_seg.export.conversion import ClippedRanges, ConvertedFile
from keras_seg.export.int8.calibrated import Calibrated
from keras_seg.export.int8.loss import OtherClasses, loss_of_file
from keras_seg.export.network_to_export import NetworkToExport
from keras_seg.export.onnx.convert import float_graph, images_for, with_card
from keras_seg.export.onnx.precision import quantized
from keras_seg.export.onnx.ranges import MeasuredRanges
from keras_seg.export.options import HEADS
from keras_seg.export.tflite.convert import tflite_file, types_of_ends
from keras_seg.export.tflite.graph import read_graphs
from keras_seg.export.tflite.measured_ranges import MeasuredRanges as MeasuredTensors
from keras_seg.export.tflite.measured_ranges import measuring
from keras_seg.export.tflite.metadata import with_card as with_tflite_card
from keras_seg.export.tflite.spellings.respell import respelled

ACCEPTED = 5.0
"""Percent of the calibration pixels that may change class before clipped ranges are tried."""
WORTH = 0.75
"""Clipped ranges are used if they reduce that loss to this share: they cut off values, too."""
QUANTILES = (0.9, 0.8, 0.75, 0.7, 0.6, 0.5)


class RangesOfFile(Protocol):
    """How the files of one format get their ranges."""

    def unclipped(self) -> bytes:
        """The file whose ranges cover the values of all images."""

    def trials(self) -> Iterator[tuple[float, bytes]]:
        """(share of the images that the ranges cover, file) for narrower and narrower ranges."""


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
    ranges = MeasuredRanges.of(graph, images_for(images, network.options))
    return _with_best_ranges(ImageSubsets(graph, network, ranges), network, images)


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
    console = Console(file=sys.stderr, markup=False, emoji=False)
    console.print(f"int8: {before:.1f} {loss.measure}; looking for ranges that fit more images")
    best = ConvertedFile(content)
    for quantile, file in ranges.trials():
        lost = loss_of_file(file, network, loss)
        console.print(f"  ranges of {quantile:.0%} of the images: {lost:.1f} %")
        if lost <= WORTH * before and (best.clipped is None or lost < best.clipped.loss):
            best = ConvertedFile(file, clipped=ClippedRanges(quantile, lost, before))
    return best


@dataclass(frozen=True)
class TensorRanges:
    """TFLite: each range ends at a quantile of the extremes that the tensor had on each image."""

    deployed: keras.Model
    network: NetworkToExport
    images: Sequence[np.ndarray]
    measured: list[MeasuredTensors] = field(default_factory=list)

    def unclipped(self) -> bytes:
        return tflite_file(self.deployed, self.network, self.images, measuring(self.measured))

    def trials(self) -> Iterator[tuple[float, bytes]]:
        (measured,), options = self.measured, self.network.options
        graph = read_graphs(measured.content)[0]
        calibrated = Calibrated(measured.content, graph, {}, *types_of_ends(options))
        for quantile in QUANTILES:
            content = calibrated.with_ranges(*measured.at(quantile)).quantized(frozenset())
            content = respelled(content, options.device)
            yield quantile, with_tflite_card(content, self.network.card, HEADS[str(options.head)])


@dataclass(frozen=True)
class ImageSubsets:
    """ONNX: ranges are measured on the images without the most unusual ones."""

    graph: onnx.ModelProto
    network: NetworkToExport
    ranges: MeasuredRanges

    def unclipped(self) -> bytes:
        return self._file(None)

    def trials(self) -> Iterator[tuple[float, bytes]]:
        order = self.ranges.most_usual_first()
        counts = {math.ceil(quantile * len(order)): quantile for quantile in reversed(QUANTILES)}
        for count, quantile in sorted(counts.items(), reverse=True):
            if count < len(order):
                yield quantile, self._file(order[:count])

    def _file(self, images: Sequence[int] | None) -> bytes:
        return with_card(quantized(self.graph, self.ranges.over(images)), self.network.card)
