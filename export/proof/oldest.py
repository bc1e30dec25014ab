"""The oldest runtime that runs a file, from the versions of its operators."""

from __future__ import annotations

import onnx
from ai_edge_litert import schema_py_generated as schema

MINIMUM = b"min_runtime_version"
"""Entry that TensorFlow's converter writes, from its table of the versions of all operators."""
ONNX_RUNTIMES = {17: "1.13", 18: "1.14", 19: "1.15", 20: "1.17", 21: "1.18"}
"""Opset → the first ONNX Runtime that implements it, by that project's table of compatibility."""


def oldest_tflite(content: bytes) -> str | None:
    """The oldest TensorFlow Lite for the bytes of a .tflite file; None if the file says nothing.

    tflite-runtime has the same numbers. Every ai-edge-litert is newer.
    """
    model = schema.Model.GetRootAs(content)
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == MINIMUM:
            text = bytes(model.Buffers(entry.Buffer()).DataAsNumpy()).rstrip(bytes(1))
            return f"TensorFlow Lite {text.decode(errors='replace')}" if text else None
    return None


def oldest_onnx_runtime(proto: onnx.ModelProto) -> str | None:
    """The oldest ONNX Runtime for a graph; None for opsets outside the table."""
    opsets = [entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]
    version = ONNX_RUNTIMES.get(opsets[0]) if opsets else None
    return version and f"ONNX Runtime {version}"
