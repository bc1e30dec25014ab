"""A data set that keeps its samples in memory."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.progress import tracked

GIBIBYTE = 2**30
CHUNK = 32
"""Number of samples that `fill` reads in parallel."""


class CachedDataset(SegmentationDataset):
    """Keeps the samples of another data set in memory, until `max_bytes` are used.

    Each sample is then read and decoded once, not once per epoch. Samples must not be changed in
    place.

    Args:
        dataset: the data set to cache.
        max_bytes: memory limit. Samples beyond it are read anew each time.

    Attributes:
        error: the last exception raised by reading a sample, or None. (A `tf.data` pipeline passes
            on only its text.)

    Example:

        cells = keras_seg.data.CachedDataset(keras_seg.data.open_dataset("builtin:cells"))
    """

    def __init__(self, dataset: SegmentationDataset, *, max_bytes: int = 4 * GIBIBYTE):
        self._dataset, self._room = dataset, max_bytes
        self._samples: dict[int, Sample] = {}
        self.error: Exception | None = None
        self.name, self.split = dataset.name, dataset.split
        self.classes, self.channels = dataset.classes, dataset.channels
        self.multi_label = dataset.multi_label
        self.value_range, self.nodata = dataset.value_range, dataset.nodata

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self._samples.get(index)
        if sample is None:
            try:
                sample = self._dataset[index]
            except Exception as error:
                self.error = error
                raise
            size = sum(array.nbytes for array in sample[1:] if array is not None)
            if size <= self._room:
                self._room -= size
                self._samples[index] = sample
        return sample

    def fill(self) -> None:
        """Reads samples in order until the memory is full, so that damaged files fail early."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            chunks = range(0, len(self), CHUNK)
            for start in tracked(chunks, f"Reading {self.split}"):
                chunk = range(start, min(start + CHUNK, len(self)))
                list(pool.map(self.__getitem__, chunk))
                if not all(index in self._samples for index in chunk):
                    break
