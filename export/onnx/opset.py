"""The version of the operators of an .onnx graph."""

from __future__ import annotations

import onnx

from keras_seg.export.errors import ExportError

NEWEST_OF_TF2ONNX = 18
"""tf2onnx writes no newer operators."""


def with_opset(proto: onnx.ModelProto, version: int) -> onnx.ModelProto:
    """The graph with the operators of a newer version.

    Raises: ExportError if an operator has no newer form.
    """
    names = proto.producer_name, proto.producer_version
    try:
        converted = onnx.version_converter.convert_version(proto, version)
    except Exception as error:  # its own error is a subclass of RuntimeError in some versions
        raise ExportError(
            f"The network cannot be written in opset {version}. The onnx package says: {error}. "
            "Leave opset out."
        ) from error
    converted.ir_version = onnx.helper.find_min_ir_version_for(converted.opset_import)
    converted.producer_name, converted.producer_version = names
    return converted
