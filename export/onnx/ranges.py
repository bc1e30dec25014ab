"""The smallest and largest value of every map of an .onnx graph on each calibration image.

One pass over the images serves every file that is made from the graph: ranges over some of the
images are put together from the measurements.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime import quantization

from keras_seg.export.onnx.on_disk import saved

FLOAT_OPERATORS = ("Softmax", "LayerNormalization", "InstanceNormalization")
"""Operators that stay float in an int8 file.

Attention over 4,096 pixels has probabilities around 1/4096, which steps of 1/256 round to zero.
Norms are as slow in integers as in float, and far less exact.
"""
TINY = 1e-6
"""Range of a map that is zero on most images."""


@dataclass(frozen=True)
class MeasuredRanges:
    """Ranges of the maps of a graph.

    Attributes:
        names: names of the maps.
        lowest: (images, maps) smallest values.
        highest: (images, maps) largest values.
    """

    names: tuple[str, ...]
    lowest: np.ndarray
    highest: np.ndarray

    @classmethod
    def of(cls, proto: onnx.ModelProto, images: Iterable[np.ndarray]) -> MeasuredRanges:
        """Runs a float32 graph on images.

        Args:
            images: as the graph takes them, (1, H, W, C) or (1, C, H, W); one at a time is in
                memory.
        """
        name = proto.graph.input[0].name
        with saved(proto) as path:
            session, scores = _measuring_session(path), len(proto.graph.output)
            outputs = [output.name for output in session.get_outputs()][scores:]
            values = [np.ravel(session.run(outputs, {name: image})) for image in images]
        low, high = np.stack(values).reshape(len(values), -1, 2).transpose(2, 0, 1)
        return cls(tuple(each.rpartition("_")[0] for each in outputs[::2]), low, high)

    def over(self, images: Sequence[int] | None = None) -> quantization.TensorsData:
        """The ranges that cover the values of some of the images, by number; of all for None."""
        chosen = slice(None) if images is None else list(images)
        low = np.nanmin(self.lowest[chosen], 0)[:, None]
        high = np.nanmax(self.highest[chosen], 0)[:, None]
        ranges = dict(zip(self.names, zip(low, high, strict=True), strict=True))
        return quantization.TensorsData(quantization.CalibrationMethod.MinMax, ranges)

    def most_usual_first(self) -> list[int]:
        """Numbers of the images, by their largest ratio to the median image over all maps."""
        reach = np.maximum(np.abs(self.lowest), np.abs(self.highest))
        ratios = reach / np.maximum(np.median(reach, 0), TINY)
        return np.argsort(ratios.max(1)).tolist()


def _measuring_session(path: Path) -> onnxruntime.InferenceSession:
    """A session that outputs the smallest and the largest value of every map, too."""
    augmented = str(path.with_name("augmented.onnx"))
    quantization.MinMaxCalibrater(path, quantized_types(), augmented).augment_graph()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # no map may vanish into another operator
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # an arena, and maps that are measured at the end, would hold several times the memory
    options.enable_cpu_mem_arena = False
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    return onnxruntime.InferenceSession(augmented, options, providers=["CPUExecutionProvider"])


def quantized_types() -> list[str]:
    """The operators that int8 files surround with QDQ pairs."""
    types = {*quantization.registry.QDQRegistry, *quantization.registry.QLinearOpsRegistry}
    return sorted(types.difference(FLOAT_OPERATORS))
