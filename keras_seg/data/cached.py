"""A data set that remembers what it has read."""

from __future__ import annotations

from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.progress import tracked

GIBIBYTE = 2**30


class CachedDataset(SegmentationDataset):
    """Keeps the samples of another data set in memory, until `max_bytes` are used.

    Reading and decoding happen once a sample instead of once an epoch. Samples must not be changed
    in place.

    Attributes: `error`, the last exception that reading a sample raised, None if none did. A
    `tf.data` pipeline reports it as text only.
    """

    def __init__(self, dataset: SegmentationDataset, *, max_bytes: int = 4 * GIBIBYTE):
        self._dataset, self._room = dataset, max_bytes
        self._samples: dict[int, Sample] = {}
        self.error: Exception | None = None
        self.name, self.split = dataset.name, dataset.split
        self.classes, self.channels = dataset.classes, dataset.channels

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
        """Reads samples in order until one finds no room, so that unreadable ones are met early."""
        for index in tracked(range(len(self)), f"Reading {self.split}"):
            self[index]
            if index not in self._samples:
                break
