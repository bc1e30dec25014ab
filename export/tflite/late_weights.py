"""Large kernels that TensorFlow's converter never holds.

The converter copies every weight eight times on its way from a graph to a file, and frees none of
the copies before its end. So each large kernel becomes a constant of one number, its mark, which
the converter stores once however large the kernel is. Afterwards the kernel is written in the place
of its mark.

The converter changes a kernel in two ways only: it transposes it, and multiplies each of its output
channels by the scale of a batch norm. Marks are powers of two, so products with them are exact, and
the file shows the factor of its mark. A kernel is written only if that is 1 or exactly the scale
that the graph holds. Then the file is the same to the last bit.
"""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema

LARGE = 2**14
"""Number of values from which on a kernel is written afterwards."""
MARKS = [2.0**power for power in range(-60, 61)]
"""The marks of kernels of one shape. Further kernels of that shape stay in the graph."""
AXES = {"Conv2D": (3, 0, 1, 2), "Conv2DBackpropInput": (2, 0, 1, 3)}
"""Operator of TensorFlow, whose second input is a kernel → the order of its axes in the file."""
WITH_KERNEL = (schema.BuiltinOperator.CONV_2D, schema.BuiltinOperator.TRANSPOSE_CONV)
"""Operators of a file whose second input is a kernel."""
BEFORE_SCALE = ("BiasAdd", "Add", "AddV2", "Sub")
"""Operators with a constant that may come between a convolution and its scale."""


class NotFilledError(Exception):
    """A kernel has no place in a file, or more than one."""


@dataclass(frozen=True)
class LateKernel:
    """A kernel to write into a file.

    Attributes:
        name: of its constant in the graph.
        mark: the number in its place.
        values: the kernel in the order of the file, output channels first.
        scale: name of the factors in the graph that the converter may multiply it by, or None.
    """

    name: str
    mark: np.float32
    values: np.ndarray
    scale: str | None


@dataclass
class LateKernels:
    """The kernels that are taken out of a graph and written into its file.

    Attributes:
        kernels: those that were taken out.
        scales: name of the factors in the graph → their values.
    """

    kernels: list[LateKernel] = field(default_factory=list)
    scales: dict[str, np.ndarray] = field(default_factory=dict)

    def take_from(self, graph: tf.compat.v1.GraphDef, values: Mapping[str, np.ndarray]) -> None:
        """Replaces the large kernels of a graph by their marks.

        Args:
            graph: a frozen graph, which is changed.
            values: name of a constant → its values; others stay.
        """
        reader, used = _GraphReader(graph), Counter()
        for node in graph.node:
            convolution = reader.only_convolution(node) if node.name in values else None
            if convolution is None or values[node.name].size < LARGE:
                continue
            kernel = values[node.name].transpose(AXES[convolution.op])
            if used[kernel.shape] == len(MARKS):
                continue
            mark = np.float32(MARKS[used[kernel.shape]])
            used[kernel.shape] += 1
            scale = reader.scale_behind(convolution)
            self.kernels.append(LateKernel(node.name, mark, kernel, scale))
            tensor = node.attr["value"].tensor
            tensor.ClearField("tensor_content")
            tensor.float_val[:] = [mark]
        names = sorted({kernel.scale for kernel in self.kernels if kernel.scale is not None})
        self.scales = reader.constant_values(names)

    def fill(self, content: bytes) -> bytes:
        """The .tflite file with the kernels in the place of their marks.

        Raises: NotFilledError unless each kernel has exactly one place.
        """
        if not self.kernels:
            return content
        waiting = defaultdict(list)
        for kernel in self.kernels:
            waiting[kernel.values.shape].append(kernel)
        file = io.BytesIO(content)
        filled = Counter()
        with file.getbuffer() as view:
            for place in _places(view):
                filled.update(self._fill_place(place, waiting[place.shape]))
                del place  # it holds the view
        if filled != Counter(kernel.name for kernel in self.kernels):
            raise NotFilledError
        return file.getvalue()

    def _fill_place(self, place: np.ndarray, kernels: list[LateKernel]) -> list[str]:
        """Writes the kernel whose mark is in a place; the names of the kernels that fit there."""
        marks = place[:, :1, :1, :1].copy()
        if not kernels or not (place == marks).all():
            return []
        fitting: list[tuple[LateKernel, np.ndarray | None]] = []
        for kernel in kernels:
            factors = marks / kernel.mark
            if (factors == 1).all():
                fitting.append((kernel, None))
            elif kernel.scale is not None and self._is_scale(factors.ravel(), kernel.scale):
                fitting.append((kernel, factors))
        for kernel, factors in fitting:
            if factors is None:
                place[...] = kernel.values
            else:
                np.multiply(kernel.values, factors, out=place)
        return [kernel.name for kernel, _ in fitting]

    def _is_scale(self, factors: np.ndarray, name: str) -> bool:
        scale = np.ravel(self.scales[name])
        return scale.size in (1, factors.size) and bool((factors == scale).all())


class _GraphReader:
    """Finds convolutions and their scales in a frozen graph."""

    def __init__(self, graph: tf.compat.v1.GraphDef) -> None:
        self.graph = graph
        self.nodes = {node.name: node for node in graph.node}
        self.takers: dict[str, list] = defaultdict(list)
        for node in graph.node:
            for name in _inputs_of(node):
                self.takers[name].append(node)
        self.constants: dict[str, bool] = {}

    def only_convolution(self, node: tf.compat.v1.NodeDef) -> tf.compat.v1.NodeDef | None:
        """The convolution whose kernel a constant is, if nothing else reads it."""
        if node.op != "Const":
            return None
        takers = self._takers_behind_identities(node)
        if len(takers) != 1 or takers[0][0].op not in AXES:
            return None
        taker, name = takers[0]
        return taker if _inputs_of(taker).index(name) == 1 else None

    def scale_behind(self, node: tf.compat.v1.NodeDef) -> str | None:
        """The name of the constant that the output of a convolution is multiplied by."""
        takers = self._takers_behind_identities(node)
        while len(takers) == 1:
            taker, name = takers[0]
            others = [other for other in _inputs_of(taker) if other != name]
            if len(others) != 1 or not self.is_constant(others[0]):
                return None
            if taker.op == "Mul":
                return others[0]
            if taker.op not in BEFORE_SCALE:
                return None
            takers = self._takers_behind_identities(taker)
        return None

    def is_constant(self, name: str) -> bool:
        """Whether the value of a node is known without an image."""
        if name not in self.constants:
            node = self.nodes[name]
            parts = _inputs_of(node)
            known = bool(parts) and all(map(self.is_constant, parts))
            self.constants[name] = node.op == "Const" or known
        return self.constants[name]

    def constant_values(self, names: list[str]) -> dict[str, np.ndarray]:
        """Name of a constant node → its values."""
        if not names:
            return {}
        needed, waiting = set(), list(names)
        while waiting:
            name = waiting.pop()
            if name not in needed:
                needed.add(name)
                waiting += _inputs_of(self.nodes[name])
        nodes = [self.nodes[name] for name in sorted(needed)]
        part = tf.compat.v1.GraphDef(node=nodes, versions=self.graph.versions)
        with tf.Graph().as_default() as graph, tf.compat.v1.Session(graph=graph) as session:
            tf.import_graph_def(part, name="")
            return dict(zip(names, session.run([f"{name}:0" for name in names]), strict=True))

    def _takers_behind_identities(
        self, node: tf.compat.v1.NodeDef
    ) -> list[tuple[tf.compat.v1.NodeDef, str]]:
        """The nodes that read a node, each with the name by which it does."""
        found = []
        for taker in self.takers[node.name]:
            if taker.op == "Identity":
                found += self._takers_behind_identities(taker)
            else:
                found.append((taker, node.name))
        return found


def _inputs_of(node: tf.compat.v1.NodeDef) -> list[str]:
    """The nodes whose values a node reads, not those that it only waits for."""
    return [name.split(":")[0] for name in node.input if not name.startswith("^")]


def _places(content: memoryview) -> Iterator[np.ndarray]:
    """The kernels of a file as writable views, output channels first, each once."""
    model = schema.Model.GetRootAs(content)
    graph, seen = model.Subgraphs(0), set()
    codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        if codes[operator.OpcodeIndex()].BuiltinCode() not in WITH_KERNEL:
            continue
        tensor = graph.Tensors(operator.Inputs(1))
        buffer = model.Buffers(tensor.Buffer())
        if tensor.Buffer() in seen or tensor.Type() != schema.TensorType.FLOAT32:
            continue
        seen.add(tensor.Buffer())
        if buffer.DataLength() and tensor.ShapeLength() == 4:
            yield buffer.DataAsNumpy().view(np.float32).reshape(tensor.ShapeAsNumpy())
