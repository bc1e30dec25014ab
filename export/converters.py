"""The converter of every kind of file.

A new kind is one converter here, or in the table of its format's folder, and one row in
`keras_seg.export.kinds`. A converter follows `keras_seg.export.conversion.Converter`.
"""

from __future__ import annotations

from keras_seg.export.conversion import Converter
from keras_seg.export.coreml.convert import CONVERTERS as COREML
from keras_seg.export.int8.clipped_ranges import int8_onnx, int8_tflite
from keras_seg.export.int8.mixed import mixed_tflite
from keras_seg.export.kinds import Kind
from keras_seg.export.onnx.convert import CONVERTERS as ONNX
from keras_seg.export.tflite.convert import CONVERTERS as TFLITE

CONVERTERS: dict[str, dict[str | None, Converter]] = {
    "tflite": TFLITE | {"int8": int8_tflite, "mixed": mixed_tflite},
    "onnx": ONNX | {"int8": int8_onnx},
    "coreml": COREML,
}
"""Format → value of `quantize` → converter."""


def converter_of(kind: Kind) -> Converter:
    """The converter of a row of `KINDS`."""
    return CONVERTERS[kind.format][kind.quantize]
