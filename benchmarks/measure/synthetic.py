"""A data set of any length whose samples are computed from their index, not stored."""

from __future__ import annotations

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import Sample, SegmentationDataset


class Noise(SegmentationDataset):
    """Squares of noise (size, size, 3) with a bright half, whose pixels are class 1."""

    channels = 3

    def __init__(self, length: int, size: int):
        self.name, self.split, self.classes = "noise", "train", ClassTable.numbered(2)
        self._length, self._size = length, size

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self._length:
            raise IndexError(f"There are {self._length} samples. Received: {index}")
        random, size = np.random.default_rng(index), self._size
        image = random.integers(0, 128, (size, size, 3), dtype=np.uint8)
        mask = np.zeros((size, size), np.int32)
        mask[:, random.integers(1, size) :] = 1
        image[mask == 1] += 128
        return Sample(f"{index:06d}", image, mask)
