"""Edits the graph of a .tflite file: operators are replaced, and everything else stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from keras_seg.export.tflite.graph import DTYPES, OPERATORS
from keras_seg.export.tflite.metadata import read_model, write_model

NUMBERS = {name: number for number, name in OPERATORS.items()}
LARGEST_OLD_CODE = 127
"""Operators up to this number also stand in the field that old readers know."""
VERSIONS = {
    "CONCATENATION": 2,
    "CONV_2D": 3,
    "MUL": 2,
    "SPLIT": 2,
    "TRANSPOSE": 2,
}
"""Version of an operator that takes int8; 1 for others."""
TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.int16): schema.TensorType.INT16,
}


class FileEditor:
    """The first graph of a .tflite file without attached files.

    Attributes:
        graph: the graph, as an object of the schema.
    """

    def __init__(self, content: bytes):
        self._model = read_model(content)
        self.graph = self._model.subgraphs[0]
        self._kinds = [
            OPERATORS.get(max(code.deprecatedBuiltinCode, code.builtinCode), "?")
            for code in self._model.operatorCodes
        ]

    def content(self) -> bytes:
        """The bytes of the file."""
        return write_model(self._model)

    def kind(self, operator: schema.OperatorT) -> str:
        """Name of an operator, such as "CONV_2D"."""
        return self._kinds[operator.opcodeIndex]

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Shape of a tensor; -1 where free."""
        entry = self.graph.tensors[tensor]
        shape = entry.shape if entry.shapeSignature is None else entry.shapeSignature
        return () if shape is None else tuple(map(int, shape))

    def dtype(self, tensor: int) -> str:
        """Type of a tensor, such as "INT8"."""
        return DTYPES.get(self.graph.tensors[tensor].type, "?")

    def is_constant(self, tensor: int) -> bool:
        """Whether the file holds the values of a tensor."""
        data = self._model.buffers[self.graph.tensors[tensor].buffer].data
        return data is not None and len(data) > 0

    def new_map(
        self, like: int, shape: Sequence[int], name: str, scale: float | None = None
    ) -> int:
        """Number of a new map with the type and the quantization of another.

        Args:
            scale: its scale; None for that of the other map.
        """
        tensor, source = schema.TensorT(), self.graph.tensors[like]
        tensor.type, tensor.quantization = source.type, source.quantization
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.array([scale], np.float32)
            tensor.quantization.zeroPoint = source.quantization.zeroPoint
        tensor.shape, tensor.name, tensor.hasRank = np.array(shape, np.int32), name, True
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def name(self, tensor: int) -> str:
        """Name of a tensor."""
        name = self.graph.tensors[tensor].name or b""
        return name.decode() if isinstance(name, bytes) else name

    def scale(self, tensor: int) -> float | None:
        """Scale of a tensor; None without one, and for a scale per channel."""
        is_one = self.scale_count(tensor) == 1
        return float(self.graph.tensors[tensor].quantization.scale[0]) if is_one else None

    def scale_count(self, tensor: int) -> int:
        """Number of scales of a tensor: 0, 1, or one per channel."""
        quantization = self.graph.tensors[tensor].quantization
        scales = None if quantization is None else quantization.scale
        return 0 if scales is None else len(scales)

    def new_constant(self, values: np.ndarray, name: str, scales: np.ndarray | None = None) -> int:
        """Number of a new constant.

        Args:
            scales: one scale, or one per entry of the first axis; the zero point is 0.
        """
        tensor, buffer = schema.TensorT(), schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self._model.buffers.append(buffer)
        tensor.type, tensor.buffer = TYPES[values.dtype], len(self._model.buffers) - 1
        tensor.shape, tensor.name, tensor.hasRank = np.array(values.shape, np.int32), name, True
        if scales is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.asarray(scales, np.float32)
            tensor.quantization.zeroPoint = np.zeros(len(scales), np.int64)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def new_operator(
        self,
        kind: str,
        inputs: Sequence[int],
        outputs: Sequence[int],
        options: Any = None,
    ) -> schema.OperatorT:
        """A new operator, which `replace` puts into the graph.

        Args:
            options: options of the operator, an object of the schema.
        """
        operator = schema.OperatorT()
        operator.opcodeIndex = self._code(kind)
        operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array(outputs, np.int32)
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = options
        return operator

    def replace(self, replacements: Mapping[int, Sequence[schema.OperatorT]]) -> None:
        """Puts other operators in the place of some.

        Args:
            replacements: number of an operator → the operators in its place, in their order.
        """
        operators = []
        for i, operator in enumerate(self.graph.operators):
            operators += replacements.get(i, [operator])
        self.graph.operators = operators

    def set_outputs(self, tensors: Sequence[int]) -> None:
        """Makes other tensors the outputs; signatures, which name the old ones, are dropped."""
        self.graph.outputs = np.array(tensors, np.int32)
        self._model.signatureDefs = []

    def _code(self, kind: str) -> int:
        """Number of the entry of an operator in the table of the file, which may be new."""
        if kind in self._kinds:
            return self._kinds.index(kind)
        code = schema.OperatorCodeT()
        code.builtinCode = NUMBERS[kind]
        code.deprecatedBuiltinCode = min(NUMBERS[kind], LARGEST_OLD_CODE)
        code.version = VERSIONS.get(kind, 1)
        self._model.operatorCodes.append(code)
        self._kinds.append(kind)
        return len(self._kinds) - 1
