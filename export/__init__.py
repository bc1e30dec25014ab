"""From a trained network to one small file for a device, proven on real images.

    report = keras_seg.export.export(
        "run/model.keras", "model.tflite", quantize="int8", calibration=train, evaluation=val
    )

The file has a static shape with batch 1, built-in operators only, and a card that says what it is.
It gets its name only after it was opened by its own runtime, its operators were audited and its
answers were compared with the Keras model's.
"""

from keras_seg.export.audit import Audit, audit
from keras_seg.export.clipped_ranges import ClippedRanges
from keras_seg.export.errors import ExportError, GateError
from keras_seg.export.exporter import export
from keras_seg.export.gate import GateResult
from keras_seg.export.mixed_report import MixedPrecision
from keras_seg.export.quantization_aware import quantization_aware
from keras_seg.export.quantization_aware_tflite import float_layers
from keras_seg.export.report import ExportReport
from keras_seg.export.request import FORMATS, HEADS, INPUTS, QUANTIZATIONS
from keras_seg.export.soft_labels import soft_labels

__all__ = [
    "FORMATS",
    "HEADS",
    "INPUTS",
    "QUANTIZATIONS",
    "Audit",
    "ClippedRanges",
    "ExportError",
    "ExportReport",
    "GateError",
    "GateResult",
    "MixedPrecision",
    "audit",
    "export",
    "float_layers",
    "quantization_aware",
    "soft_labels",
]
