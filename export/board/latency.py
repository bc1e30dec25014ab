"""The time of one run of a file on this machine."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from keras_seg import inference

RUNS = 9
"""Number of timed runs, at most."""
SECONDS = 2.0
"""No further run begins after this time."""


@dataclass(frozen=True)
class Latency:
    """The median time of some runs.

    Attributes:
        seconds: of one run.
        threads: number of CPU threads.
        machine: kind of the processor.
    """

    seconds: float
    threads: int
    machine: str

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads != 1 else ''}"
        return f"{1000 * self.seconds:.3g} ms on {threads} ({self.machine})"


def measured_latency(path: Path, threads: int | None) -> Latency:
    """The median time of a few runs after the first.

    Args:
        path: an exported file of fixed size.
        threads: number of CPU threads; None for all that this process may use.
    """
    runner = inference.load(path, threads=threads)
    shape = [int(size) for size in runner.input_shape if size is not None]  # all are fixed
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    runner.run(image)
    times, end = [], time.perf_counter() + SECONDS
    while not times or (len(times) < RUNS and time.perf_counter() < end):
        start = time.perf_counter()
        runner.run(image)
        times.append(time.perf_counter() - start)
    return Latency(median(times), runner.threads, platform.machine())
