"""A data set that keeps its samples in memory."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.progress import tracked

GIBIBYTE = 2**30
CHUNK = 32
"""Number of samples that `fill` reads in parallel."""


class CachedDataset(SegmentationDataset):
    """Keeps the samples of another data set in memory, until `max_bytes` are used.

    Each sample is then read and decoded once, not once per epoch. Images are kept as uint8, masks
    and instances as uint8 or uint16 where their values allow: 4 bytes per pixel of an RGB image
    with its mask. Samples must not be changed in place.

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
        self._types: dict[int, tuple[np.dtype, ...]] = {}
        self.error: Exception | None = None
        self.name, self.split = dataset.name, dataset.split
        self.classes, self.channels = dataset.classes, dataset.channels
        self.multi_label = dataset.multi_label
        self.value_range, self.nodata = dataset.value_range, dataset.nodata

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        kept = self._samples.get(index)
        if kept is not None:
            return _unpacked(kept, self._types[index])
        try:
            sample = self._dataset[index]
        except Exception as error:
            self.error = error
            raise
        packed = _packed(sample)
        size = sum(array.nbytes for array in packed[1:] if array is not None)
        if size <= self._room:
            self._room -= size
            integers = (sample.mask, sample.instances)
            self._types[index] = tuple(each.dtype for each in integers if each is not None)
            self._samples[index] = packed
        return sample

    @property
    def kept(self) -> int:
        """Number of samples in memory."""
        return len(self._samples)

    @property
    def bytes_per_sample(self) -> float:
        """Mean size of the samples in memory; 0 without any."""
        sizes = [sum(a.nbytes for a in s[1:] if a is not None) for s in self._samples.values()]
        return sum(sizes) / len(sizes) if sizes else 0.0

    def fill(self) -> None:
        """Reads samples in order until the memory is full, so that damaged files fail early."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            chunks = range(0, len(self), CHUNK)
            for start in tracked(chunks, f"Reading {self.split}"):
                chunk = range(start, min(start + CHUNK, len(self)))
                list(pool.map(self.__getitem__, chunk))
                if not all(index in self._samples for index in chunk):
                    break


def _packed(sample: Sample) -> Sample:
    """The sample with mask and instances in the smallest unsigned type of up to 16 bits."""
    instances = sample.instances
    return sample._replace(
        mask=_small(sample.mask), instances=None if instances is None else _small(instances)
    )


def _small(values: np.ndarray) -> np.ndarray:
    if not values.size or values.dtype.kind not in "iu" or values.min() < 0:
        return values
    smallest = np.min_scalar_type(values.max())
    return values.astype(smallest) if smallest.itemsize < min(values.itemsize, 4) else values


def _unpacked(sample: Sample, types: tuple[np.dtype, ...]) -> Sample:
    mask = sample.mask.astype(types[0], copy=False)
    instances = sample.instances
    return sample._replace(
        mask=mask,
        instances=None if instances is None else instances.astype(types[1], copy=False),
    )
