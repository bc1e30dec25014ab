"""What the checks of a data set report."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.verify.suggestion import SampleFacts, Suggestion


@dataclass(frozen=True)
class Problem:
    """One error or warning.

    Attributes:
        kind: "layout", "pairs", "unreadable", "sizes", "values", "range" or "duplicates"; for
            warnings also "orientation", "palette", "unknown", "absent class" or "no data".
        split: "train" or "val".
        message: what is wrong, and what to do.
    """

    kind: str
    split: str
    message: str


@dataclass
class DatasetReport:
    """Everything that `verify_dataset` reports.

    Attributes:
        source: name of the data set.
        classes: class table; None if neither split could be opened.
        samples: number of samples in each split.
        facts: for each split, the facts of its readable samples.
        errors: problems that prevent a training, or make its numbers wrong.
        warnings: problems that may be intended.
        suggestion: options for a first training; None if no training sample is readable.
        multi_label: whether a pixel may have several classes.
        readings: for each split, how its files are read, in words.
        datasets: for each split, the opened data set.
    """

    source: str
    classes: ClassTable | None = None
    samples: dict[str, int] = field(default_factory=dict)
    facts: dict[str, list[SampleFacts]] = field(default_factory=dict)
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    suggestion: Suggestion | None = None
    multi_label: bool = False
    readings: dict[str, str] = field(default_factory=dict)
    datasets: dict[str, SegmentationDataset] = field(default_factory=dict, repr=False)

    def histogram(self, split: str) -> np.ndarray:
        """Pixels of each class in each readable sample: (samples, classes) int64."""
        rows = [fact.pixels for fact in self.facts.get(split, ())]
        return np.stack(rows) if rows else np.zeros((0, len(self.classes or ())), np.int64)
