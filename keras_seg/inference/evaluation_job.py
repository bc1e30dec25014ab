"""Measurements of a network in parts, which an engine runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

from rich.console import Console
from rich.progress import Progress

from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.engines.job import Engine, Job
from keras_seg.inference.network_copy import NetworkCopy
from keras_seg.inference.prediction import Runner

LARGEST_PART = 256
PARTS_PER_WORKER = 8
Indices = tuple[int, ...]


class Measurement(Protocol):
    """Counts of a network on images."""

    warm_shapes: set[tuple[int, ...]]

    def add(self, sample: Sample, first: Any) -> None:
        """Adds an image."""

    def counts(self) -> dict[str, Any]:
        """The counts, without the network."""

    def add_counts(self, counts: dict[str, Any]) -> None:
        """Adds the counts of other images."""


Measured = TypeVar("Measured", bound=Measurement)


@dataclass(frozen=True)
class EvaluationJob(Job[Indices, tuple[Indices, dict[str, Any]]]):
    """Measures a network on some images of a data set.

    Attributes:
        network: the network.
        dataset: images with masks, which all workers can read.
        make: makes an empty measurement of a runner.
        threads: CPU threads of a worker.
    """

    network: NetworkCopy
    dataset: SegmentationDataset
    make: Callable[[Runner], Measurement]
    threads: int | None = None

    def start(self) -> Callable[[Indices], tuple[Indices, dict[str, Any]]]:
        """Opens the network."""
        runner = cast(Runner, self.network.open(self.threads))
        warm: set[tuple[int, ...]] = set()

        def measure(indices: Indices) -> tuple[Indices, dict[str, Any]]:
            measurement = self.make(runner)
            measurement.warm_shapes = warm  # only the first run of the process is slow
            for index in indices:
                measurement.add(self.dataset[index], measurement)
            return indices, measurement.counts()

        return measure

    def split(self, task: Indices) -> Sequence[Indices]:
        """A task for each image."""
        return [(index,) for index in task]

    def lost(self, task: Indices, reason: str) -> tuple[Indices, dict[str, Any]]:
        """Raises RuntimeError: a measurement without one of the images would be another one."""
        names = ", ".join(f"{self.dataset.name!r}[{index}]" for index in task)
        raise RuntimeError(f"{names} cannot be measured. {reason}")


def measured_on(
    engine: Engine,
    runner: Runner,
    dataset: SegmentationDataset,
    indices: Sequence[int],
    make: Callable[[Runner], Measured],
    *,
    threads: int | None = None,
    progress: bool | None = None,
) -> Measured:
    """The measurement of a network on images of a data set, equal to that of one process.

    Raises: RuntimeError if workers end at an image.
    """
    size = max(1, min(LARGEST_PART, len(indices) // (PARTS_PER_WORKER * engine.workers)))
    tasks = [tuple(indices[i : i + size]) for i in range(0, len(indices), size)]
    job = EvaluationJob(NetworkCopy(runner), dataset, make, threads)
    console = Console(file=sys.stderr)
    hidden = not (console.is_terminal if progress is None else progress)
    parts = []
    with Progress(console=console, disable=hidden, transient=True) as bar:
        shown = bar.add_task("Evaluating", total=len(indices))
        for part in engine.run(job, tasks):
            parts.append(part)
            bar.advance(shown, len(part[0]))
    whole = make(runner)
    for _, counts in sorted(parts, key=lambda part: part[0]):  # sums of floats keep their order
        whole.add_counts(counts)
    return whole
