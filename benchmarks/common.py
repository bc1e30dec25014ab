"""Shared by the benchmarks: facts of the machine, interleaved timing, writing of results."""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from benchmarks import schema

RESULTS = Path("benchmarks/results")


def machine(threads: int) -> dict:
    """Processor, memory and load of the machine that the numbers come from."""
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
    samplers: Mapping[str, Callable[[], float]],
    *,
    repeats: int,
    warm_up: int = 2,
    reference: str | None = None,
) -> dict[str, dict]:
    """Takes one sample of each in turn, so that the noise of the machine affects all equally.

    Args:
        samplers: name → function that runs once and returns its milliseconds; `warm_up` first
            calls of each do not count.
        reference: the name that ratios are to; None for no ratios.

    Returns: name → median_ms, p90_ms, samples and, with a reference, ratio.
    """
    samples = {name: [] for name in samplers}
    for repeat in range(-warm_up, repeats):
        for name, sample in samplers.items():
            took = sample()
            if repeat >= 0:
                samples[name].append(took)
    return summaries(samples, reference)


def summaries(
    samples: Mapping[str, Sequence[float]], reference: str | None = None, unit: str = "ms"
) -> dict[str, dict]:
    """The `summary` of each, and the ratio to the reference for samples taken in turn.

    A ratio is the median over the rounds of its time divided by the time of the reference in the
    same round, because the machine changes its pace between rounds more than within one.
    """
    found = {name: summary(values, unit) for name, values in samples.items()}
    base = samples.get(reference)
    for name, values in samples.items():
        if base is not None and len(values) == len(base):
            ratio = float(np.median(np.divide(values, base)))
            found[name] |= {"ratio": round(ratio, 4), "ratio_to": reference}
    return found


def summary(samples: Sequence[float], unit: str = "ms") -> dict:
    """Median and 90th percentile, their keys ending in the unit, and the number of samples."""
    return {
        f"median_{unit}": round(float(np.median(samples)), 3),
        f"p90_{unit}": round(float(np.percentile(samples, 90)), 3),
        "samples": len(samples),
    }


def parser(about: str, quick: str) -> argparse.ArgumentParser:
    """A parser with the options of every benchmark: --quick, --threads, --output.

    Args:
        about: the module's docstring, of which the first line is shown.
        quick: what --quick leaves out, in words.
    """
    found = argparse.ArgumentParser(description=about.splitlines()[0])
    found.add_argument("--quick", action="store_true", help=quick)
    found.add_argument("--threads", type=int, default=os.cpu_count())
    found.add_argument("--output", type=Path, help="folder; quick runs go to a temporary one")
    return found


def output_folder(options: argparse.Namespace) -> Path:
    """Folder of the results; quick runs do not overwrite those of full runs."""
    if options.output is not None:
        return options.output
    return Path(tempfile.mkdtemp(prefix="keras-seg-quick-")) if options.quick else RESULTS


def markdown_table(header: Sequence[str], rows: Iterable[Sequence]) -> str:
    """A table of already formatted cells."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines) + "\n"


def machine_line(record: dict) -> str:
    """One sentence with the "machine" and the "versions" of a record."""
    facts = record["machine"]
    packages = ", ".join(f"{package} {number}" for package, number in record["versions"].items())
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['threads']} threads, "
        f"load average {facts['load_average']} at the start; Python {facts['python']}, {packages}."
    )


def write(path: Path, record: dict, text: str) -> None:
    """Writes the record as JSON to `path` and the text as Markdown beside it, and prints the text.

    Raises: ValueError for a record that does not follow `benchmarks.schema`.
    """
    schema.check(record)
    keep(path, record)
    path.with_suffix(".md").write_text(text)
    print(f"{text}\nwritten: {path}")


def keep(path: Path, record: dict) -> None:
    """Writes the record as JSON, so that an interrupted benchmark can continue from there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
