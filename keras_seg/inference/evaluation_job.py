"""Measurements of a network in parts, which an engine runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from rich.console import Console
from rich.progress import Progress

from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.engines.job import Engine, Job
from keras_seg.inference.instance_map import InstanceOptions
from keras_seg.inference.measurement import ImageMeasurement, NetworkMeasurement
from keras_seg.inference.network_copy import NetworkCopy
from keras_seg.inference.object_scores import ObjectScores
from keras_seg.inference.prediction import Runner
from keras_seg.inference.scores import Threshold

LARGEST_PART = 256
PARTS_PER_WORKER = 8
Indices = tuple[int, ...]
Part = tuple[Indices, list[ImageMeasurement]]


@dataclass(frozen=True)
class EvaluationJob(Job[Indices, Part]):
    """Measures a network on some images of a data set.

    Attributes:
        network: the network.
        dataset: images with masks, which all workers can read.
        sizing, threshold, instances: as for `keras_seg.inference.compare`.
        threads: CPU threads of a worker.
    """

    network: NetworkCopy
    dataset: SegmentationDataset
    sizing: str = "auto"
    threshold: Threshold | None = None
    instances: InstanceOptions | None = None
    threads: int | None = None

    def start(self) -> Callable[[Indices], Part]:
        """Opens the network."""
        measurement = self.measurement()

        def measure(indices: Indices) -> Part:
            samples = (self.dataset[index] for index in indices)
            runner = measurement.runner
            images = [measurement.measured(each, runner, timed=True) for each in samples]
            return indices, [image.without_pixels() for image in images]

        return measure

    def measurement(self) -> NetworkMeasurement:
        """An empty measurement of the network."""
        runner = cast(Runner, self.network.open(self.threads))
        classes = self.dataset.classes
        return empty_measurement(runner, classes, self.sizing, self.threshold, self.instances)

    def split(self, task: Indices) -> Sequence[Indices]:
        """A task for each image."""
        return [(index,) for index in task]

    def lost(self, task: Indices, reason: str) -> Part:
        """Raises RuntimeError: a measurement without one of the images would be another one."""
        names = ", ".join(f"{self.dataset.name!r}[{index}]" for index in task)
        raise RuntimeError(f"{names} cannot be measured. {reason}")


def empty_measurement(
    runner: Runner,
    classes: ClassTable,
    sizing: str,
    threshold: Threshold | None,
    instances: InstanceOptions | None,
) -> NetworkMeasurement:
    """A measurement of a network without images; of objects, too, if there are options for them."""
    measurement = NetworkMeasurement(runner, sizing, threshold)
    if instances is not None:
        measurement.objects = ObjectScores(classes, instances)
    return measurement


def measured_on(
    engine: Engine, job: EvaluationJob, indices: Sequence[int], *, progress: bool | None = None
) -> NetworkMeasurement:
    """The measurement of a network on images of a data set, with the counts of one process.

    Raises: RuntimeError if workers end at an image.
    """
    size = max(1, min(LARGEST_PART, len(indices) // (PARTS_PER_WORKER * engine.workers)))
    tasks = [tuple(indices[i : i + size]) for i in range(0, len(indices), size)]
    console = Console(file=sys.stderr)
    hidden = not (console.is_terminal if progress is None else progress)
    parts = []
    with Progress(console=console, disable=hidden, transient=True) as bar:
        shown = bar.add_task("Evaluating", total=len(indices))
        for part in engine.run(job, tasks):
            parts.append(part)
            bar.advance(shown, len(part[0]))
    whole = job.measurement()
    for _, images in sorted(parts, key=lambda part: part[0]):  # sums of floats keep their order
        for image in images:
            whole.count(image)
    return whole
