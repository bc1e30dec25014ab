"""Lists and runs the benchmarks.

    python -m benchmarks list
    python -m benchmarks run NAME [NAME ...] [--quick] [--threads N] [--output FOLDER]
        [--torch-python PYTHON] [--vela PROGRAM] [--micro-python PYTHON] [--data FOLDER]
        [--runs FOLDER] [--before COMMIT] [--board-python PYTHON] [--quantizer-python PYTHON]
        [--work FOLDER] [--smp-python PYTHON]

`run all` runs every benchmark whose inputs are given. Each also runs by itself, with more options:
`python -m benchmarks.measure.NAME`, `python -m benchmarks.edge` and `python -m benchmarks.peers`.
Results are JSON, as benchmarks/schema.py describes it, and Markdown in `benchmarks/results`. Quick
runs write to a temporary folder.
"""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

FOLDER = Path(__file__).parent
SHARED = {
    "threads": "CPU threads of every side",
    "output": "folder of the results",
    "torch_python": "interpreter that has PyTorch",
    "vela": "program of the package ethos-u-vela",
    "micro_python": "interpreter that has tflite-micro",
    "data": "folder of images with masks",
    "runs": "folder of finished trainings",
    "board_python": "interpreter with NumPy, Pillow, LiteRT and ONNX Runtime, without this package",
    "quantizer_python": "interpreter that has litert-quantizer",
    "work": "folder in which long trainings resume",
    "smp_python": "interpreter with PyTorch and segmentation-models-pytorch",
    "before": "commit, branch or tag that HEAD is compared with",
}
"""Options that are passed on to the benchmarks that take them."""


@dataclass(frozen=True)
class Benchmark:
    """A measurement, and the `SHARED` options that it takes and needs."""

    name: str
    takes: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    folder: str = "measure"

    @property
    def module(self) -> str:
        """What `python -m` runs: a module of `folder`, or a folder with a `__main__.py`."""
        if (FOLDER / self.name).is_dir():
            return self.name
        return f"{self.folder}.{self.name}".lstrip(".")

    @property
    def about(self) -> str:
        """First line of its docstring, read without importing TensorFlow."""
        folder = FOLDER / self.name
        path = (
            folder / "__main__.py" if folder.is_dir() else FOLDER / self.folder / f"{self.name}.py"
        )
        return ast.get_docstring(ast.parse(path.read_text())).splitlines()[0]

    def command(self, options: argparse.Namespace) -> list[str]:
        words = [sys.executable, "-m", f"benchmarks.{self.module}"]
        words += ["--quick"] if options.quick else []
        for option in ("threads", "output", *self.takes, *self.needs):
            value = getattr(options, option)
            if value is not None:
                words += [f"--{option.replace('_', '-')}", str(value)]
        return words

    def missing(self, options: argparse.Namespace) -> list[str]:
        return [option for option in self.needs if getattr(options, option) is None]


BENCHMARKS = (
    Benchmark("models"),
    Benchmark("layers", takes=("torch_python",)),
    Benchmark("attention"),
    Benchmark("data"),
    Benchmark("training", takes=("torch_python",)),
    Benchmark("gpu", takes=("torch_python",), folder=""),
    Benchmark("peers", takes=("torch_python",)),
    Benchmark("start", takes=("torch_python",)),
    Benchmark("conversions", takes=("before",)),
    Benchmark("commits", needs=("before",)),
    Benchmark("predict", takes=("data", "before", "torch_python")),
    Benchmark("scale"),
    Benchmark("profiles"),
    Benchmark("defaults", takes=("data",)),
    Benchmark("papers", needs=("data", "work")),
    Benchmark("accuracy", takes=("smp_python",), needs=("data", "work")),
    Benchmark("devices", takes=("vela", "micro_python"), folder="edge"),
    Benchmark("edge", takes=("runs",), needs=("data",)),
    Benchmark("int8", takes=("quantizer_python",), needs=("data",)),
    Benchmark("board", needs=("runs", "board_python")),
)


def main() -> None:
    options = _arguments()
    if options.do == "list":
        Console().print(table())
        return
    wanted = list(BENCHMARKS) if options.names == ["all"] else _named(options.names)
    lacking = {b.name: b.missing(options) for b in wanted if b.missing(options)}
    if lacking and options.names != ["all"]:
        sys.exit("\n".join(f"{name} needs --{' and --'.join(m)}" for name, m in lacking.items()))
    failed = []
    for benchmark in wanted:
        if benchmark.name in lacking:
            print(f"{benchmark.name}: left out, it needs --{lacking[benchmark.name][0]}")
            continue
        start = time.perf_counter()
        code = subprocess.run(benchmark.command(options), check=False).returncode
        failed += [benchmark.name] if code else []
        print(
            f"{benchmark.name}: {f'failed with code {code}' if code else 'done'} after "
            f"{time.perf_counter() - start:.0f} s",
            flush=True,
        )
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def table() -> Table:
    """Name, what it measures, what it needs."""
    found = Table("benchmark", "measures", "needs", "takes")
    for benchmark in BENCHMARKS:
        sides = (
            ", ".join(f"--{word.replace('_', '-')}" for word in words)
            for words in (benchmark.needs, benchmark.takes)
        )
        found.add_row(benchmark.name, benchmark.about, *sides)
    return found


def _named(names: list[str]) -> list[Benchmark]:
    known = {benchmark.name: benchmark for benchmark in BENCHMARKS}
    if unknown := [name for name in names if name not in known]:
        sys.exit(f"no benchmarks of these names: {unknown}. There are: {[*known]} and 'all'")
    return [known[name] for name in names]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.split("\n")[0]
    )
    verbs = parser.add_subparsers(dest="do", required=True)
    verbs.add_parser("list", help="lists the benchmarks")
    run = verbs.add_parser("run", help="runs some of them, or all")
    run.add_argument("names", nargs="+", metavar="NAME", help="as listed, or 'all'")
    run.add_argument("--quick", action="store_true", help="minutes at most instead of hours")
    for option, about in SHARED.items():
        run.add_argument(
            f"--{option.replace('_', '-')}", help=about, type=int if option == "threads" else str
        )
    return parser.parse_args()


if __name__ == "__main__":
    main()
