"""What an exported file is made of, and what in it a device could not run."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import onnx
from rich.table import Table
from rich.text import Text

from keras_seg.export.onnx import cost as onnx_cost
from keras_seg.export.tflite.cost import arena_bytes, delegation, multiply_adds
from keras_seg.export.tflite.graph import Graph, read_graphs
from keras_seg.inference.results import megabytes
from keras_seg.inference.tflite_file import IDENTIFIER
from keras_seg.model_paths import unreadable_file

BATCH_OPERATORS = ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")
"""What a dilated convolution falls apart into when the batch is free: twice as slow."""

CONVERSIONS = ("QUANTIZE", "DEQUANTIZE", "CAST")
"""Operators that compute nothing, but lead from one type into another."""
COMPARISONS = ("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL")
"""Operators whose int8 kernels multiply by a scale that they take to be below 1."""


@dataclass(frozen=True)
class Audit:
    """Operators and tensors of an exported file.

    Attributes:
        operators: name → count.
        tensors: type → count, weights included.
        islands: "operator (tensor)" that an integer file computes in float. In an .onnx
            file, what does not lie between pairs that quantize; a runtime may lack the integer form
            of others, too.
        problems: what a device could not run or would run badly, in words; empty is good.
        multiply_adds: for one image; None at a free size, and for .tflite files with problems.
        arena_bytes: memory for the maps of one run, see `tflite_cost.arena_bytes` and
            `onnx_cost.maps_bytes`; None likewise.

    Of .tflite files without problems also:
        partitions: parts that LiteRT on this machine gives to XNNPACK; 1 is best, 0 is none.
        undelegated: operator → count of those that it runs by its own, single-threaded kernels.
    """

    path: str
    format: str
    size_bytes: int
    operators: dict[str, int]
    tensors: dict[str, int]
    islands: tuple[str, ...]
    problems: tuple[str, ...]
    multiply_adds: int | None = None
    arena_bytes: int | None = None
    partitions: int | None = None
    undelegated: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict:
        """Everything as plain values for JSON."""
        return asdict(self)

    def table(self) -> Table:
        """The operators as a table for the terminal."""
        table = Table("operator", "count", title=Text(Path(self.path).name))
        table.columns[1].justify = "right"
        for name, count in self.operators.items():
            table.add_row(name, str(count))
        table.add_section()
        for name, count in self.tensors.items():
            table.add_row(f"tensors of {name}", str(count))
        table.add_row("size", megabytes(self.size_bytes))
        if self.multiply_adds is not None:
            table.add_row("memory for maps", megabytes(self.arena_bytes))
            table.add_row("multiply-adds", f"{self.multiply_adds / 1e6:,.1f} M")
        if self.partitions is not None:
            table.add_row("parts run by XNNPACK", str(self.partitions))
            left = ", ".join(f"{name} x {count}" for name, count in self.undelegated.items())
            table.add_row(f"not run by XNNPACK: {left or 'nothing'}", "")
        for problem in self.problems:
            table.add_row(Text(problem, style="red"), "")
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
        raise unreadable_file(path, ".tflite", "it does not begin as such files do")
    graphs = read_graphs(content)
    operators, tensors, islands, problems = Counter(), Counter(), [], []
    for graph in graphs:
        operators.update(graph.counts())
        tensors.update(tensor.dtype for tensor in graph.tensors)
        islands += _islands(graph)
        problems += broken_comparisons(graph)
    problems += [
        f"{name} x {operators[name]}: {why}"
        for name in sorted(operators)
        if (why := _why_not(name))
    ]
    found = _audit(path, operators, tensors, islands, problems)
    if problems:  # which may be such that to open the file ends the process
        return found
    try:
        partitions, undelegated = delegation(path)
    except (ValueError, RuntimeError) as error:
        return replace(found, problems=(f"LiteRT does not take it: {str(error).strip(' .')}",))
    free = any(-1 in tensor.shape for tensor in graphs[0].tensors)
    return replace(
        found,
        multiply_adds=None if free else multiply_adds(graphs[0]),
        arena_bytes=None if free else arena_bytes(graphs[0]),
        partitions=partitions,
        undelegated=dict(undelegated.most_common()),
    )


def _islands(graph: Graph) -> list[str]:
    """Operators that compute in float although the file computes in integers."""
    results = [
        (operator.kind, graph.tensors[i])
        for operator in graph.operators
        if operator.kind not in CONVERSIONS
        for i in operator.outputs
    ]
    if not any(tensor.dtype in ("INT8", "INT16") for _, tensor in results):
        return []
    return [
        f"{kind} ({tensor.name})"
        for kind, tensor in results
        if tensor.dtype in ("FLOAT32", "FLOAT16")
    ]


def broken_comparisons(graph: Graph) -> list[str]:
    """Comparisons of integers whose step is 1 or more.

    LiteRT's kernels then take all numbers for equal, and some builds of it end the process.
    """
    return [
        f"{operator.kind} ({graph.tensors[operator.outputs[0]].name}): compares integers with a "
        "step of 1 or more, which LiteRT takes for equal, whatever they are; quantize='mixed' "
        "keeps it in float"
        for operator in graph.operators
        if operator.kind in COMPARISONS
        and any(
            tensor.dtype in ("INT8", "UINT8") and (tensor.scale or 0) >= 1
            for tensor in (graph.tensors[i] for i in operator.inputs)
        )
    ]


def _why_not(name: str) -> str | None:
    if name.startswith("custom "):
        return "not built into TFLite; the device would need an operator of its own"
    if name in BATCH_OPERATORS:
        return "a dilated convolution fell apart, which halves its speed; export with batch 1"
    return None


def _audit_onnx(path: Path) -> Audit:
    try:
        proto = onnx.load(path)
    except Exception as error:  # protobuf's errors share no base class below Exception
        raise unreadable_file(path, ".onnx", f"onnx says: {error}") from error
    operators = Counter(node.op_type for node in proto.graph.node)
    tensors = Counter(
        onnx.TensorProto.DataType.Name(tensor.data_type) for tensor in proto.graph.initializer
    )
    problems = [
        f"{node}: not in the ONNX standard; only some runtimes have it"
        for node in foreign_nodes(proto)
    ]
    shapes = onnx_cost.Shapes(proto)
    found = _audit(path, operators, tensors, onnx_cost.islands(shapes), problems)
    return replace(
        found,
        multiply_adds=onnx_cost.multiply_adds(shapes),
        arena_bytes=onnx_cost.maps_bytes(shapes),
    )


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
