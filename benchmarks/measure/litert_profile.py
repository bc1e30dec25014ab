"""Time by operator of a .tflite file, from the profiler in LiteRT's own library.

LiteRT's Python interface does not report times, but the C interface of the same package does. It is
called by the names in its headers. A package without these names raises `ProfilerMissing`, and so
does a summary in another format: a wrong number is never returned.
"""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from pathlib import Path

LIBRARY = "libLiteRt.so"
CPU = 1
PROFILING = b"enable_profiling = true\n"
TENSOR_TYPE_BYTES = 512
"""More bytes than LiteRtRankedTensorType has, which is passed on unread."""
LAST_SECTION = "Summary by node type"
ROW = re.compile(r"^\s*(\S.*?)\s+(\d+)\s+([\d.]+)\s+[\d.]+%\s+[\d.]+%\s+[\d.]+\s+(\d+)$")
"""Kind, number of operators, milliseconds of one call, two percentages, memory, calls."""
DELEGATE = "Delegate/"


class ProfilerMissing(RuntimeError):
    """LiteRT's library is missing or does not answer as expected."""


def profile(path: Path, threads: int, runs: int) -> dict[str, float]:
    """Kind of operator → percent of the time; XNNPACK's have the kernel in their name.

    The model stays in memory until the process ends. Raises: ProfilerMissing.
    """
    model = _Model(path, threads)
    model.run()  # lays out memory
    for _ in range(runs):  # one by one, since the library keeps some thousand events at most
        summary = model.profiled()
    spent = parsed(summary)  # of all runs until then
    total = sum(spent.values())
    return {kind: round(100 * ms / total, 2) for kind, ms in spent.most_common()}


def parsed(summary: str) -> Counter:
    """Kind of operator → milliseconds, from the text of the library's summary.

    Raises: ProfilerMissing for text in another format.
    """
    spent = Counter()
    for line in summary.rpartition(LAST_SECTION)[2].splitlines():
        if row := ROW.match(line):
            kind, _, ms, calls = row.groups()
            spent[kind.removeprefix(DELEGATE)] += float(ms) * int(calls)
    if not spent:
        raise ProfilerMissing(f"LiteRT's summary has no times by operator: {summary[:200]!r}")
    return spent


class _Model:
    """A compiled model with buffers of its inputs and outputs, whose pixels do not matter."""

    def __init__(self, path: Path, threads: int):
        import ai_edge_litert

        try:
            self._library = ctypes.CDLL(str(Path(ai_edge_litert.__file__).parent / LIBRARY))
        except OSError as error:
            raise ProfilerMissing(str(error)) from error
        self._environment = self._new("CreateEnvironment", 0, None)
        model = self._new("CreateModelFromFile", self._environment, str(path).encode())
        options = self._options({"runtime_options_string": PROFILING}, threads)
        self._compiled = self._new("CreateCompiledModel", self._environment, model, options)
        graph = self._new("GetModelSubgraph", model, ctypes.c_size_t(0))
        self._ends = [self._buffers(graph, kind) for kind in ("Input", "Output")]
        self._profiler = self._new("CompiledModelGetProfiler", self._compiled)
        if not self._profiler:
            raise ProfilerMissing("LiteRT did not create a profiler.")

    def run(self) -> None:
        counted = [part for end in self._ends for part in (ctypes.c_size_t(len(end)), end)]
        self._call("RunCompiledModel", self._compiled, ctypes.c_size_t(0), *counted)

    def profiled(self) -> str:
        """The library's summary of one run."""
        self._call("ResetProfiler", self._profiler)
        self._call("StartProfiler", self._profiler)
        self.run()
        self._call("StopProfiler", self._profiler)
        text = ctypes.c_char_p()
        self._call("GetProfileSummary", self._profiler, self._compiled, ctypes.byref(text))
        return text.value.decode()

    def _options(self, words: dict[str, bytes], threads: int) -> ctypes.c_void_p:
        options = self._new("CreateOptions")
        self._call("SetOptionsHardwareAccelerators", options, CPU)
        words = words | {"xnnpack": f"num_threads = {threads}\n".encode()}
        free = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)
        self._kept = [free, *map(ctypes.create_string_buffer, words.values())]
        for name, text in zip(words, self._kept[1:], strict=True):
            payload = ctypes.cast(text, ctypes.c_void_p)
            opaque = self._new("CreateOpaqueOptions", name.encode(), payload, free)
            self._call("AddOpaqueOptions", options, opaque)
        return options

    def _buffers(self, graph: ctypes.c_void_p, kind: str) -> ctypes.Array:
        count = ctypes.c_size_t()
        self._call(f"GetNumSubgraph{kind}s", graph, ctypes.byref(count))
        found = (ctypes.c_void_p * count.value)()
        for i in range(count.value):
            number = ctypes.c_size_t(i)
            tensor = self._new(f"GetSubgraph{kind}", graph, number)
            of_tensor = ctypes.create_string_buffer(TENSOR_TYPE_BYTES)
            self._call("GetRankedTensorType", tensor, of_tensor)
            name = f"GetCompiledModel{kind}BufferRequirements"
            needs = self._new(name, self._compiled, ctypes.c_size_t(0), number)
            name = "CreateManagedTensorBufferFromRequirements"
            found[i] = self._new(name, self._environment, of_tensor, needs)
        return found

    def _new(self, name: str, *arguments) -> ctypes.c_void_p:
        """What a function returns through its last argument."""
        found = ctypes.c_void_p()
        self._call(name, *arguments, ctypes.byref(found))
        return found

    def _call(self, name: str, *arguments) -> None:
        try:
            function = getattr(self._library, f"LiteRt{name}")
        except AttributeError as error:
            raise ProfilerMissing(str(error)) from error
        function.restype = ctypes.c_int
        if status := function(*arguments):
            raise ProfilerMissing(f"LiteRt{name} answers {status}.")
