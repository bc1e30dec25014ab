"""Reads every sample of a split: in the threads of this process, or on the workers of an engine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.folder.pairs import SizesDiffer, ValuesOutside
from keras_seg.data.mask_values.pixels import UnknownColors
from keras_seg.data.progress import tracked
from keras_seg.data.reading.images import UNREADABLE
from keras_seg.data.verify.color_checks import ColorProblem
from keras_seg.data.verify.report import Problem
from keras_seg.data.verify.suggestion import SampleFacts, sample_facts
from keras_seg.engines.job import Engine, Job
from keras_seg.engines.local import LocalEngine
from keras_seg.parallel import available_threads, in_order

MEASURED = 200
"""Objects are measured in about this many training images, spread evenly."""
LARGEST_PART = 256
PARTS_PER_WORKER = 8
Indices = tuple[int, ...]
Outcome = SampleFacts | Problem


def read_all(dataset: SegmentationDataset, split: str, engine: Engine) -> Iterator[Outcome]:
    """The facts of each sample, or what is wrong with it, in the order of the samples."""
    length, text = len(dataset), f"Reading {split}"
    if isinstance(engine, LocalEngine):
        read = partial(read_sample, dataset, split)
        outcomes = in_order(read, range(length), available_threads())
        for outcome in tracked(outcomes, text, total=length):
            yield outcome.result()
        return
    size = max(1, min(LARGEST_PART, length // (PARTS_PER_WORKER * engine.workers)))
    tasks = [tuple(range(i, min(i + size, length))) for i in range(0, length, size)]
    parts = tracked(engine.run(ReadingJob(dataset, split), tasks), text, total=len(tasks))
    for _, outcomes in sorted(parts, key=lambda part: part[0]):
        yield from outcomes


def read_sample(dataset: SegmentationDataset, split: str, index: int) -> Outcome:
    """The facts of a sample, or what is wrong with it."""
    measured_every = max(1, len(dataset) // MEASURED)
    try:
        sample = dataset[index]
    except SizesDiffer as error:
        return Problem("sizes", split, str(error))
    except UnknownColors as error:
        return ColorProblem("values", split, str(error), error.colors)
    except ValuesOutside as error:
        return Problem("values", split, str(error))
    except UNREADABLE as error:
        return Problem("unreadable", split, str(error))
    digest = hashlib.blake2b(repr(sample.image.shape).encode())
    digest.update(np.ascontiguousarray(sample.image).tobytes())
    measure = split == "train" and index % measured_every == 0
    return sample_facts(sample, len(dataset.classes), digest.digest(), measure=measure, index=index)


@dataclass(frozen=True)
class ReadingJob(Job[Indices, tuple[Indices, list[Outcome]]]):
    """Reads some samples of a split, which all workers can open."""

    dataset: SegmentationDataset
    split_name: str

    def start(self) -> Callable[[Indices], tuple[Indices, list[Outcome]]]:
        """Nothing is prepared."""
        return lambda task: (
            task,
            [read_sample(self.dataset, self.split_name, each) for each in task],
        )

    def split(self, task: Indices) -> Sequence[Indices]:
        """A task for each sample."""
        return [(index,) for index in task]

    def lost(self, task: Indices, reason: str) -> tuple[Indices, list[Outcome]]:
        """A sample at whose reading processes end counts as unreadable."""
        name = f"{self.dataset.name!r}[{task[0]}]"
        return task, [Problem("unreadable", self.split_name, f"{name}: {reason}")]
