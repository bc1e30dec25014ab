"""What an exported file is made of, and what in it a device could not run."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx
from ai_edge_litert import schema_py_generated as schema
from rich.table import Table

from keras_seg.inference.runner import unreadable
from keras_seg.inference.tables import megabytes
from keras_seg.inference.tflite_runner import IDENTIFIER

BATCH_OPERATORS = ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")
"""What a dilated convolution falls apart into when the batch is free: twice as slow."""


@dataclass(frozen=True)
class Audit:
    """Operators and tensors of an exported file.

    Attributes:
        operators: name → count.
        tensors: type → count, weights included.
        islands: "operator (tensor)" that an integer file computes in float.
        problems: what a device could not run or would run badly, in words; empty is good.
    """

    path: str
    format: str
    size_bytes: int
    operators: dict[str, int]
    tensors: dict[str, int]
    islands: tuple[str, ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict:
        """Everything as plain values for JSON."""
        return asdict(self)

    def table(self) -> Table:
        """The operators as a table for the terminal."""
        table = Table("operator", "count", title=f"{Path(self.path).name}")
        table.columns[1].justify = "right"
        for name, count in self.operators.items():
            table.add_row(name, str(count))
        table.add_section()
        for name, count in self.tensors.items():
            table.add_row(f"tensors of {name}", str(count))
        table.add_row("size", megabytes(self.size_bytes))
        for problem in self.problems:
            table.add_row(f"[red]{problem}[/red]", "")
        return table


def audit(path: str | Path) -> Audit:
    """Reads the operators and tensors of a .tflite or .onnx file.

    Raises: FileNotFoundError or ValueError if there is no such file or it is neither.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no exported file {str(path)!r}. Check the path.")
    suffix = path.suffix.lower()
    if suffix not in (".tflite", ".onnx"):
        raise ValueError(f"An audit reads .tflite and .onnx files. Received: {str(path)!r}")
    return _audit_tflite(path) if suffix == ".tflite" else _audit_onnx(path)


def foreign_nodes(proto: onnx.ModelProto) -> list[str]:
    """ "type (name)" of the nodes that are no operators of the ONNX standard."""
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    return [
        f"{node.op_type} ({node.name})"
        for node in proto.graph.node
        if not onnx.defs.has(node.op_type, versions.get(node.domain, 1), node.domain)
    ]


def _audit_tflite(path: Path) -> Audit:
    content = path.read_bytes()
    if content[4:8] != IDENTIFIER:
        raise unreadable(path, ".tflite", "it does not begin as such files do")
    model = schema.Model.GetRootAs(content)
    names = [_operator_name(model.OperatorCodes(i)) for i in range(model.OperatorCodesLength())]
    graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    operators, tensors, islands = Counter(), Counter(), []
    for graph in graphs:
        types = [_DTYPES[graph.Tensors(i).Type()] for i in range(graph.TensorsLength())]
        tensors.update(types)
        used = [graph.Operators(i) for i in range(graph.OperatorsLength())]
        operators.update(names[operator.OpcodeIndex()] for operator in used)
        islands += _islands(graph, used, names, types)
    problems = [
        f"{name} x {operators[name]}: {why}"
        for name in sorted(operators)
        if (why := _why_not(name))
    ]
    return _audit(path, operators, tensors, islands, problems)


def _islands(graph, used, names: list[str], types: list[str]) -> list[str]:
    """Operators that compute in float although the file computes in integers."""
    computed = [(names[op.OpcodeIndex()], output) for op in used for output in op.OutputsAsNumpy()]
    inner = [(name, i) for name, i in computed if name not in ("QUANTIZE", "DEQUANTIZE")]
    if not any(types[i] in ("INT8", "INT16") for _, i in inner):
        return []
    return [
        f"{name} ({graph.Tensors(i).Name().decode()})"
        for name, i in inner
        if types[i] in ("FLOAT32", "FLOAT16")
    ]


def _why_not(name: str) -> str | None:
    if name.startswith("custom "):
        return "not built into TFLite; the device would need an operator of its own"
    if name in BATCH_OPERATORS:
        return "a dilated convolution fell apart, which halves its speed; export with batch 1"
    return None


def _operator_name(code) -> str:
    # the first field holds codes up to 127 only; files by old converters have nothing else
    number = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
    if number == schema.BuiltinOperator.CUSTOM:
        return f"custom {(code.CustomCode() or b'?').decode()}"
    return _OPERATORS.get(number, f"operator {number}")


def _audit_onnx(path: Path) -> Audit:
    try:
        proto = onnx.load(path)
    except Exception as error:  # protobuf's errors share no base class below Exception
        raise unreadable(path, ".onnx", f"onnx says: {error}") from error
    operators = Counter(node.op_type for node in proto.graph.node)
    tensors = Counter(
        onnx.TensorProto.DataType.Name(tensor.data_type) for tensor in proto.graph.initializer
    )
    problems = [
        f"{node}: not in the ONNX standard; only some runtimes have it"
        for node in foreign_nodes(proto)
    ]
    return _audit(path, operators, tensors, [], problems)


def _audit(path: Path, operators: Counter, tensors: Counter, islands, problems) -> Audit:
    return Audit(
        path=str(path),
        format=path.suffix.lower()[1:],
        size_bytes=path.stat().st_size,
        operators=dict(operators.most_common()),
        tensors=dict(tensors.most_common()),
        islands=tuple(islands),
        problems=tuple(problems),
    )


def _names_by_number(enumeration: type) -> dict[int, str]:
    return {number: name for name, number in vars(enumeration).items() if name[0] != "_"}


_OPERATORS = _names_by_number(schema.BuiltinOperator)
_DTYPES = _names_by_number(schema.TensorType)
