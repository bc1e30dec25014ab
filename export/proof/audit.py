"""The operators and tensors of an exported file, and those that a device could not run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import onnx
from rich.table import Table
from rich.text import Text

from keras_seg.export.coreml.audit import operators_and_tensors
from keras_seg.export.coreml.package import package_bytes
from keras_seg.export.devices.table import DEVICES, TARGETS
from keras_seg.export.kinds import SUFFIXES
from keras_seg.export.onnx import cost as onnx_cost
from keras_seg.export.onnx import faults as onnx_faults
from keras_seg.export.onnx.graph import Shapes
from keras_seg.export.proof.oldest import oldest_onnx_runtime, oldest_tflite
from keras_seg.export.tflite.cost import arena_bytes, delegation, multiply_adds
from keras_seg.export.tflite.faults import float_islands, problems_of
from keras_seg.export.tflite.graph import read_graphs
from keras_seg.export.tflite.placement import LeftOver, left_over
from keras_seg.inference.results import megabytes
from keras_seg.inference.tflite_file import IDENTIFIER
from keras_seg.model_paths import unreadable_file
from keras_seg.names import unknown_name
from keras_seg.shipped_models import shipped_file

FORMAT_OF = {suffix: format for format, suffix in SUFFIXES.items()}


@dataclass(frozen=True)
class Audit:
    """Operators and tensors of an exported file.

    Attributes:
        path: path of the file.
        format: "tflite", "onnx" or "coreml".
        size_bytes: size of the file.
        operators: name → count.
        tensors: type → count, weights included.
        islands: "operator (tensor)" that an integer file computes in float. In an .onnx file, the
            operators outside QDQ pairs; a runtime may lack the integer form of others, too.
        problems: what a device could not run or would run badly, in words; empty is good.
        multiply_adds: for one image; None at a free size, for .tflite files with problems, and for
            Core ML packages.
        arena_bytes: memory for the maps of one run, without weights; None likewise.
        partitions: number of parts that LiteRT on this machine gives to XNNPACK: 1 is best, 0 is
            none. None for .onnx files, and for .tflite files with problems.
        undelegated: operator → count of those that LiteRT runs in its own, single-threaded kernels;
            empty likewise.
        target: the device that `left_over` is about; None if none was asked for.
        left_over: the operators that the device leaves to the CPU, each with the rule and the
            option that avoids it.
        oldest_runtime: the oldest runtime that has all operators in their versions, such as
            "TensorFlow Lite 2.5.0" or "ONNX Runtime 1.14"; None if it is not known.
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
    target: str | None = None
    left_over: tuple[LeftOver, ...] = ()
    oldest_runtime: str | None = None

    @property
    def placed(self) -> int:
        """Number of operators that the device runs; all of them without a target."""
        return sum(self.operators.values()) - sum(entry.count for entry in self.left_over)

    def placement_in_words(self) -> str | None:
        """How many operators the device runs, and where that is known from; None for no target."""
        if self.target is None:
            return None
        device, count = DEVICES[self.target], sum(self.operators.values())
        if device.operators is None and device.dtypes is not None:
            return f"its table of operators could not be read; {device.basis}. {device.note}"
        words = f"{self.placed} of {count} operators, by {device.source} ({device.date})"
        return f"{words}. {device.note}" if device.note and self.left_over else words

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
        if self.oldest_runtime is not None:
            table.add_row(f"oldest runtime: {self.oldest_runtime}", "")
        if self.multiply_adds is not None:
            table.add_row("memory for maps", megabytes(self.arena_bytes))
            table.add_row("multiply-adds", f"{self.multiply_adds / 1e6:,.1f} M")
        if self.partitions is not None:
            table.add_row("parts run by XNNPACK", str(self.partitions))
            left = ", ".join(f"{name} x {count}" for name, count in self.undelegated.items())
            table.add_row(f"not run by XNNPACK: {left or 'nothing'}", "")
        if self.target is not None:
            table.add_section()
            table.add_row(Text(f"on {self.target}: {self.placement_in_words()}"), "")
            for entry in self.left_over:
                table.add_row(Text(f"on the CPU: {entry}"), "")
        for problem in self.problems:
            table.add_row(Text(problem, style="red"), "")
        return table


def audit(path: str | Path, target: str | None = None) -> Audit:
    """Reads the operators and tensors of a .tflite, .onnx or .mlpackage file, without running it.

    Args:
        path: path of the file.
        target: name of a device, such as "ethos-u55": also says which operators of a .tflite file
            it leaves to the CPU, why, and which option avoids it.

    Raises: FileNotFoundError for a missing file; ValueError for a file of another format, a
        damaged one, or an unknown target.

    Example:
        print(keras_seg.export.audit("model.tflite").operators)
    """
    path = shipped_file(path) or Path(path)
    if target is not None and target not in DEVICES:
        raise ValueError(unknown_name("target", target, TARGETS))
    if not path.exists():
        raise FileNotFoundError(f"No exported file was found at {str(path)!r}. Check the path.")
    suffix = path.suffix.lower()
    if suffix not in AUDITS:
        raise ValueError(
            f"An audit reads {', '.join(AUDITS)} files. Received: {str(path)!r}. Export one first."
        )
    audited = AUDITS[suffix](path)
    if target is None:
        return audited
    if suffix != ".tflite":
        raise ValueError(
            f"A target is for .tflite files, whose operators its table lists. Received: {path}. "
            "Leave target out, or export a .tflite file."
        )
    left = left_over(path.read_bytes(), DEVICES[target])
    return replace(audited, target=target, left_over=left)


def _audit_tflite(path: Path) -> Audit:
    content = path.read_bytes()
    if content[4:8] != IDENTIFIER:
        raise unreadable_file(path, ".tflite", "its first bytes are not those of a .tflite file")
    graphs = read_graphs(content)
    problems = problems_of(graphs)
    audited = _audit(
        path,
        sum((graph.counts() for graph in graphs), Counter()),
        Counter(tensor.dtype for graph in graphs for tensor in graph.tensors),
        [island for graph in graphs for island in float_islands(graph)],
        problems,
        oldest_tflite(content),
    )
    if problems:  # to open a file with some of these ends the process
        return audited
    try:
        partitions, undelegated = delegation(path)
    except (ValueError, RuntimeError) as error:
        problem = f"LiteRT cannot load it: {str(error).strip(' .')}"
        return replace(audited, problems=(problem,))
    free = any(-1 in tensor.shape for tensor in graphs[0].tensors)
    return replace(
        audited,
        multiply_adds=None if free else multiply_adds(graphs[0]),
        arena_bytes=None if free else arena_bytes(graphs[0]),
        partitions=partitions,
        undelegated=dict(undelegated.most_common()),
    )


def _audit_onnx(path: Path) -> Audit:
    try:
        proto = onnx.load(path)
    except Exception as error:  # protobuf's errors share no base class below Exception
        raise unreadable_file(path, ".onnx", f"onnx says: {error}") from error
    problems = [
        f"{node}: not in the ONNX standard; only some runtimes have it"
        for node in onnx_faults.foreign_nodes(proto)
    ]
    shapes = Shapes(proto)
    types = onnx.TensorProto.DataType
    audited = _audit(
        path,
        Counter(node.op_type for node in proto.graph.node),
        Counter(types.Name(tensor.data_type) for tensor in proto.graph.initializer),
        onnx_faults.float_islands(shapes),
        problems,
        oldest_onnx_runtime(proto),
    )
    return replace(
        audited,
        multiply_adds=onnx_cost.multiply_adds(shapes),
        arena_bytes=onnx_cost.maps_bytes(shapes),
    )


def _audit_coreml(path: Path) -> Audit:
    operators, tensors = operators_and_tensors(path)
    return replace(_audit(path, operators, tensors, [], [], None), size_bytes=package_bytes(path))


def _audit(
    path: Path,
    operators: Counter,
    tensors: Counter,
    islands: list[str],
    problems: list[str],
    oldest_runtime: str | None,
) -> Audit:
    return Audit(
        path=str(path),
        format=FORMAT_OF[path.suffix.lower()],
        size_bytes=path.stat().st_size,
        operators=dict(operators.most_common()),
        tensors=dict(tensors.most_common()),
        islands=tuple(islands),
        problems=tuple(problems),
        oldest_runtime=oldest_runtime,
    )


AUDITS: dict[str, Callable[[Path], Audit]] = {
    SUFFIXES["tflite"]: _audit_tflite,
    SUFFIXES["onnx"]: _audit_onnx,
    SUFFIXES["coreml"]: _audit_coreml,
}
"""Suffix → what audits such a file."""
