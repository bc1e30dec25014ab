"""The operators and tensors of a .tflite file, read from its bytes without running it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file.

    Attributes:
        name: name of the tensor.
        dtype: as the schema spells it.
        shape: -1 where free.
        constant: whether the file holds its values.
        scale: scale of its quantization; None without one, and for a scale per channel.
        extent: largest minus smallest value in calibration; None in a file without ranges.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    constant: bool
    scale: float | None
    extent: float | None

    @property
    def size_bytes(self) -> int:
        """Size of its values in bytes."""
        return math.prod(self.shape) * BYTES.get(self.dtype, 0)


@dataclass(frozen=True)
class Operator:
    """An operator of a file.

    Attributes:
        kind: such as "CONV_2D".
        inputs: numbers of the tensors that it reads.
        outputs: numbers of the tensors that it writes.
    """

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """One graph of a file, with the operators in the order in which they run."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def producers(self) -> dict[int, int]:
        """Number of a tensor → number of the operator that writes it."""
        return {tensor: i for i, op in enumerate(self.operators) for tensor in op.outputs}

    def computed_inputs(self, operator: Operator) -> list[Tensor]:
        """The inputs of an operator that are not constants."""
        tensors = (self.tensors[i] for i in operator.inputs)
        return [tensor for tensor in tensors if not tensor.constant]

    def counts(self) -> Counter:
        """Kind → number of such operators."""
        return Counter(operator.kind for operator in self.operators)


def read_graphs(content: bytes) -> list[Graph]:
    """The graphs of a file; the first is the one that runs."""
    model = schema.Model.GetRootAs(content)
    kinds = [_kind(model.OperatorCodes(i)) for i in range(model.OperatorCodesLength())]
    return [_graph(model, model.Subgraphs(i), kinds) for i in range(model.SubgraphsLength())]


def _graph(model: schema.Model, graph: schema.SubGraph, kinds: list[str]) -> Graph:
    operators = [graph.Operators(i) for i in range(graph.OperatorsLength())]
    return Graph(
        tuple(_tensor(model, graph.Tensors(i)) for i in range(graph.TensorsLength())),
        tuple(
            Operator(
                kinds[operator.OpcodeIndex()],
                _numbers(operator.InputsAsNumpy()),
                _numbers(operator.OutputsAsNumpy()),
            )
            for operator in operators
        ),
        _numbers(graph.InputsAsNumpy()),
        _numbers(graph.OutputsAsNumpy()),
    )


def _tensor(model: schema.Model, tensor: schema.Tensor) -> Tensor:
    quantization = tensor.Quantization()
    scales = quantization.ScaleLength() if quantization else 0
    ranged = quantization is not None and quantization.MinLength() == 1
    shape = (
        tensor.ShapeSignatureAsNumpy() if tensor.ShapeSignatureLength() else tensor.ShapeAsNumpy()
    )
    return Tensor(
        tensor.Name().decode(),
        DTYPES.get(tensor.Type(), f"type {tensor.Type()}"),
        tuple(int(size) for size in shape) if tensor.ShapeLength() else (),
        model.Buffers(tensor.Buffer()).DataLength() > 0,
        quantization.Scale(0) if scales == 1 else None,
        quantization.Max(0) - quantization.Min(0) if ranged else None,
    )


def _numbers(array: np.ndarray | int) -> tuple[int, ...]:
    """The tensors in a list of the schema, which may be missing, and has -1 for omitted ones."""
    return () if isinstance(array, int) else tuple(int(i) for i in array if i >= 0)


def _kind(code: schema.OperatorCode) -> str:
    # the first field holds codes up to 127; files of old converters have that field alone
    number = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
    if number == schema.BuiltinOperator.CUSTOM:
        return f"custom {(code.CustomCode() or b'?').decode()}"
    return OPERATORS.get(number, f"operator {number}")


def _names_by_number(enumeration: type) -> dict[int, str]:
    return {number: name for name, number in vars(enumeration).items() if name[0] != "_"}


OPERATORS = _names_by_number(schema.BuiltinOperator)
DTYPES = _names_by_number(schema.TensorType)
BYTES = {
    "COMPLEX128": 16,
    "COMPLEX64": 8,
    "FLOAT64": 8,
    "INT64": 8,
    "UINT64": 8,
    "FLOAT32": 4,
    "INT32": 4,
    "UINT32": 4,
    "BFLOAT16": 2,
    "FLOAT16": 2,
    "INT16": 2,
    "UINT16": 2,
    "INT8": 1,
    "UINT8": 1,
    "BOOL": 1,
}
"""Bytes of one value. No export writes the types that are missing here."""
