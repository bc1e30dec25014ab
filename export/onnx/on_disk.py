"""Graphs on their way through ONNX Runtime's tools, which work from file to file."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx


@contextlib.contextmanager
def saved(proto: onnx.ModelProto) -> Iterator[Path]:
    """A graph as a file in a folder of its own, which is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "source.onnx"
        onnx.save(proto, path)
        del proto  # so that the caller can release it
        yield path


def through_files(proto: onnx.ModelProto, step: Callable[[Path, Path], None]) -> onnx.ModelProto:
    """The graph after a step that reads one file and writes another."""
    with saved(proto) as source:
        target = source.with_name("target.onnx")
        step(source, target)
        return onnx.load(target)
