"""The operators and tensors of a Core ML package."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from keras_seg.export.coreml.package import import_coremltools
from keras_seg.model_paths import unreadable_file

CONSTANT = "const"
"""The operation that holds a value, such as a size or weights; `constexpr_...` holds weights that
are decompressed when the model is loaded."""
STORED = "quantized_data"
"""Attribute of such an operation with the stored weights."""


def operators_and_tensors(path: Path) -> tuple[Counter, Counter]:
    """Operator → count and type of a tensor → count; constants are tensors alone.

    Raises: ValueError for a damaged package, or one without an ML program.
    """
    ct = import_coremltools()
    try:
        spec = ct.models.utils.load_spec(str(path))
    except Exception as error:  # coremltools and protobuf share no base class below Exception
        raise unreadable_file(path, ".mlpackage", f"coremltools says: {error}") from error
    if spec.WhichOneof("Type") != "mlProgram":
        raise unreadable_file(path, ".mlpackage", "it holds no ML program")
    operators, tensors = Counter(), Counter()
    for operation in _operations(spec.mlProgram):
        if not operation.type.startswith(CONSTANT):
            operators[operation.type] += 1
        tensors.update(_dtypes(operation))
    return operators, tensors


def _operations(program: Any) -> list[Any]:
    return [
        operation
        for function in program.functions.values()
        for block in function.block_specializations.values()
        for operation in block.operations
    ]


def _dtypes(operation: Any) -> list[str]:
    """Types of the tensors that an operation holds, or outputs, such as "FLOAT16"."""
    from coremltools.proto import MIL_pb2

    kinds = [output.type for output in operation.outputs]
    if STORED in operation.attributes:
        kinds = [operation.attributes[STORED].type]
    return [
        MIL_pb2.DataType.Name(kind.tensorType.dataType)
        for kind in kinds
        if kind.WhichOneof("type") == "tensorType"
    ]
