"""Graphs on their way through ONNX Runtime's tools, which work from file to file."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx

SOURCE, TARGET, WEIGHTS = "source.onnx", "target.onnx", "weights"
"""Files in the folder of a step; the last holds the weights of the first."""
ALIGNMENT = 64
"""Weights begin at multiples of this number of bytes, so that they can be read in place."""


@contextlib.contextmanager
def saved(proto: onnx.ModelProto) -> Iterator[Path]:
    """A graph as a file in a folder of its own, which is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / SOURCE
        onnx.save(proto, path)
        del proto  # so that the caller can release it
        yield path


def through_files(proto: onnx.ModelProto, step: Callable[[Path, Path], None]) -> onnx.ModelProto:
    """The graph after a step that reads one file and writes another."""
    with saved(proto) as source:
        target = source.with_name(TARGET)
        step(source, target)
        return onnx.load(target)


def loaded(path: Path) -> onnx.ModelProto:
    """The graph of a file whose weights may be in another file, with all weights."""
    proto = onnx.load(path)
    for tensor in proto.graph.initializer:
        tensor.ClearField("data_location")  # loading writes the default, which takes bytes
    return proto


def moved_to(file: io.BufferedWriter, tensor: onnx.TensorProto) -> onnx.TensorProto:
    """A tensor whose values are written to a file, which the result names."""
    values = tensor.raw_data
    file.seek(-file.tell() % ALIGNMENT, io.SEEK_CUR)
    place = {"location": Path(file.name).name, "offset": file.tell(), "length": len(values)}
    file.write(values)
    moved = onnx.TensorProto(
        name=tensor.name or None,
        data_type=tensor.data_type,
        dims=tensor.dims,
        data_location=onnx.TensorProto.EXTERNAL,
    )
    for key, value in place.items():
        moved.external_data.add(key=key, value=str(value))
    return moved


def bytes_of(proto: onnx.ModelProto) -> bytes:
    """`proto.SerializeToString()` without its two copies of all weights on the way."""
    file = io.BytesIO()
    for entry, value in proto.ListFields():
        if entry.name != "graph":
            file.write(_only(proto, entry.name))
            continue
        # `ByteSize` of the graph would write it to measure it
        file.write(_head(entry.number, sum(map(len, _parts(value)))))
        file.writelines(_parts(value))
    return file.getvalue()


def _parts(graph: onnx.GraphProto) -> Iterator[bytes]:
    """The bytes of a graph, one weight at a time."""
    for entry, value in graph.ListFields():
        if entry.name != "initializer":
            yield _only(graph, entry.name)
            continue
        for tensor in value:
            content = tensor.SerializeToString()
            yield _head(entry.number, len(content))
            yield content


def _only(proto: onnx.ModelProto | onnx.GraphProto, name: str) -> bytes:
    """The bytes of one field of a message."""
    return type(proto)(**{name: getattr(proto, name)}).SerializeToString()


def _head(number: int, size: int) -> bytes:
    """The bytes before a message of `size` bytes in the field `number` of another."""
    content = bytearray()
    for value in (number << 3 | 2, size):
        while value > 127:
            content.append(value & 127 | 128)
            value >>= 7
        content.append(value)
    return bytes(content)
