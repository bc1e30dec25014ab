"""From a trained network to one small file for a device, proven on real images.

    report = keras_seg.export.export(
        "run/model.keras", "model.tflite", quantize="int8", calibration=train, evaluation=val
    )

The file has a static shape with batch 1, built-in operators only, and a card that says what it is.
It gets its name only after it was opened by its own runtime, its operators were audited and its
answers were compared with the Keras model's.
"""

from keras_seg.export.aware.rewrite import quantization_aware
from keras_seg.export.aware.soft_labels import soft_labels
from keras_seg.export.aware.tflite import float_layers
from keras_seg.export.errors import ExportError, GateError
from keras_seg.export.exporter import export
from keras_seg.export.int8.clipped_ranges import ClippedRanges
from keras_seg.export.int8.mixed_report import MixedPrecision
from keras_seg.export.options import FORMATS, HEADS, INPUTS, QUANTIZATIONS
from keras_seg.export.proof.audit import Audit, audit
from keras_seg.export.proof.gate import GateResult
from keras_seg.export.report import ExportReport

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
