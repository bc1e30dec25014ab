"""What the benchmarks share: facts of the machine, interleaved timing, JSON with a table beside."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

RESULTS = Path("benchmarks/results")


def machine(threads: int) -> dict:
    """Processor, memory and load, so that a number can be read with the machine it comes from."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "threads": threads,
        "load_average": round(os.getloadavg()[0], 2),
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Package → version, of those that are installed."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def milliseconds(run: Callable[[], object]) -> float:
    """Wall time of one call. The call must wait for its result."""
    start = time.perf_counter()
    run()
    return 1e3 * (time.perf_counter() - start)


def interleaved(
    samplers: Mapping[str, Callable[[], float]], *, repeats: int, warm_up: int = 2
) -> dict[str, dict]:
    """Takes one sample of each in turn, so that the noise of the machine meets all alike.

    Args:
        samplers: name → function that runs once and returns its milliseconds; `warm_up` first
            calls of each do not count.

    Returns: name → median_ms, p90_ms and samples.
    """
    samples = {name: [] for name in samplers}
    for repeat in range(-warm_up, repeats):
        for name, sample in samplers.items():
            took = sample()
            if repeat >= 0:
                samples[name].append(took)
    return {name: summary(values) for name, values in samples.items()}


def summary(samples_ms: Sequence[float]) -> dict:
    return {
        "median_ms": round(float(np.median(samples_ms)), 3),
        "p90_ms": round(float(np.percentile(samples_ms, 90)), 3),
        "samples": len(samples_ms),
    }


def markdown_table(header: Sequence[str], rows: Iterable[Sequence]) -> str:
    """A table of already formatted cells."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines) + "\n"


def machine_line(record: dict) -> str:
    """One sentence on where the numbers of a record come from: its "machine" and "versions"."""
    facts = record["machine"]
    packages = ", ".join(f"{package} {number}" for package, number in record["versions"].items())
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['threads']} threads, "
        f"load average {facts['load_average']} at the start; Python {facts['python']}, {packages}."
    )


def write(path: Path, record: dict, text: str) -> None:
    """The record as JSON at `path`, the text as Markdown beside it; both are also printed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    path.with_suffix(".md").write_text(text)
    print(text)
