"""Exports a trained network to one file for a device, and checks the file on real images.

    report = keras_seg.export.export(
        "run/model.keras", "model.tflite", quantize="int8", calibration=train, evaluation=val
    )

The file has a static shape with batch 1, built-in operators only, and a card that describes it. It
gets its name only after it was opened in its own runtime, its operators were audited, and its
predictions were compared with the Keras model's.

The folders are the steps of an export: `network` (the network rewritten for a device), `aware`
(training with roundings), `tflite` and `onnx` (a file of each format), `int8` (ranges of integer
files), `devices` (what accelerators run), `proof` (audit, accuracy check, publication), `board`
(programs for a device). `exporter` runs them in this order.
"""

from typing import TYPE_CHECKING

from keras_seg.export.devices.table import TARGETS
from keras_seg.export.kinds import FORMATS, INPUTS, QUANTIZATIONS
from keras_seg.export.options import HEADS, ExportOptions
from keras_seg.lazy import lazy_names

if TYPE_CHECKING:  # editors and type checkers do not follow the lazy names below
    from keras_seg.export.aware.rewrite import quantization_aware
    from keras_seg.export.aware.soft_labels import soft_labels
    from keras_seg.export.aware.trained_ranges import float_layers
    from keras_seg.export.conversion import ClippedRanges, MixedPrecision
    from keras_seg.export.errors import ExportError
    from keras_seg.export.exporter import export
    from keras_seg.export.proof.audit import Audit, audit
    from keras_seg.export.proof.gate import GateError, GateResult
    from keras_seg.export.report import ExportReport
    from keras_seg.export.tflite.placement import LeftOver

__all__ = [
    "FORMATS",
    "HEADS",
    "INPUTS",
    "QUANTIZATIONS",
    "TARGETS",
    "Audit",
    "ClippedRanges",
    "ExportError",
    "ExportOptions",
    "ExportReport",
    "GateError",
    "GateResult",
    "LeftOver",
    "MixedPrecision",
    "audit",
    "export",
    "float_layers",
    "quantization_aware",
    "soft_labels",
]

# The command line reads the options before TensorFlow is needed.
__getattr__, _ = lazy_names(
    __name__,
    {
        "Audit": "keras_seg.export.proof.audit",
        "ClippedRanges": "keras_seg.export.conversion",
        "ExportError": "keras_seg.export.errors",
        "ExportReport": "keras_seg.export.report",
        "GateError": "keras_seg.export.proof.gate",
        "GateResult": "keras_seg.export.proof.gate",
        "LeftOver": "keras_seg.export.tflite.placement",
        "MixedPrecision": "keras_seg.export.conversion",
        "audit": "keras_seg.export.proof.audit",
        "export": "keras_seg.export.exporter",
        "float_layers": "keras_seg.export.aware.trained_ranges",
        "quantization_aware": "keras_seg.export.aware.rewrite",
        "soft_labels": "keras_seg.export.aware.soft_labels",
    },
    tensorflow_for="Exports",
)
