"""Imports TensorFlow without the log lines that it writes before it reads its log level."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

LOG_LINE = re.compile(
    rb"[IW]\d{4} |WARNING: All log messages before absl|\d{4}-\d\d-\d\d .*: [IW] "
)


def quieten_tensorflow() -> None:
    """Drops the log lines of levels I and W of the first `import tensorflow` from now on.

    TensorFlow 2.21 writes them although TF_CPP_MIN_LOG_LEVEL is 3. All other lines are kept.
    """
    if "tensorflow" not in sys.modules and not any(
        isinstance(finder, _Finder) for finder in sys.meta_path
    ):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:  # back in place: `find_spec("tensorflow")` looks for it without importing it
            sys.meta_path.insert(0, self)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self)
        return spec


class _Loader(Loader):
    def __init__(self, loader: Any, finder: _Finder) -> None:
        self._loader = loader
        self._finder = finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        module.__loader__ = self._loader  # the module must not show that it was watched
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        with _without_log_lines():
            self._loader.exec_module(module)


@contextmanager
def _without_log_lines() -> Iterator[None]:
    """Collects what is written to file descriptor 2, since C++ does not use `sys.stderr`."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as collected:
        os.dup2(collected.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            collected.seek(0)
            for line in collected:
                if not LOG_LINE.match(line):
                    os.write(2, line)
