"""A data set without its unreadable samples."""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor

from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.progress import tracked
from keras_seg.data.reading.images import UNREADABLE

ON_ERROR = ("stop", "skip")
NAMED = 5
"""Number of reasons that the warning quotes."""


class ReadableDataset(SegmentationDataset):
    """Reads every sample of another data set once and leaves out those that fail.

    The other samples keep their order, which is the same in every run on the same files.

    Args:
        dataset: the data set to check.

    Attributes:
        skipped: the reason for each sample that was left out.

    Warns: UserWarning with the number of skipped samples and the first reasons, which name the
        files.

    Raises: ValueError if no sample can be read.
    """

    def __init__(self, dataset: SegmentationDataset):
        self._dataset = dataset
        self.name, self.split = dataset.name, dataset.split
        self.classes, self.channels = dataset.classes, dataset.channels
        self.multi_label = dataset.multi_label
        self.value_range, self.nodata = dataset.value_range, dataset.nodata
        reasons = _reasons(dataset)
        self._indices = [index for index, reason in enumerate(reasons) if reason is None]
        self.skipped = [reason for reason in reasons if reason is not None]
        if not self._indices:
            raise ValueError(
                f"None of the {len(reasons)} samples of {self.name} ({self.split}) can be read. "
                f"The first says: {self.skipped[0] if self.skipped else 'there is none'}"
            )
        if self.skipped:
            more = len(self.skipped) - NAMED
            warnings.warn(
                f"{len(self.skipped)} of {len(reasons)} samples of {self.name} ({self.split}) are "
                "left out because they cannot be read: "
                + " | ".join(self.skipped[:NAMED])
                + (f" | and {more} more" if more > 0 else ""),
                stacklevel=2,
            )

    @property
    def complete(self) -> SegmentationDataset:
        """The data set with the samples that are left out."""
        return self._dataset

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Sample:
        return self._dataset[self._indices[index]]

    def sample_name(self, index: int) -> str:
        return self._dataset.sample_name(self._indices[index])


def _reasons(dataset: SegmentationDataset) -> list[str | None]:
    """Why each sample cannot be read; None if it can."""

    def reason(index: int) -> str | None:
        try:
            dataset[index]
        except UNREADABLE as error:
            return str(error)
        return None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        reasons = pool.map(reason, range(len(dataset)))
        return list(tracked(reasons, f"Checking {dataset.split}", total=len(dataset)))
