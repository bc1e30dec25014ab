"""The tests' usual data: squares and rings that tiny networks learn in seconds."""

import numpy as np

from keras_seg.data import ClassTable, Sample, SegmentationDataset

TINY_SIZE = (64, 96)
TINY_CLASSES = ClassTable(("background", "square", "ring"))


class Shapes(SegmentationDataset):
    """Squares and rings on noise: solvable by colour, so that tiny models learn it in seconds."""

    classes, channels, name = TINY_CLASSES, 3, "shapes"

    def __init__(self, split="train", length=8, size=TINY_SIZE):
        self.split, self._length, self._size = split, length, size

    def __len__(self):
        return self._length

    def __getitem__(self, index):
        if not 0 <= index < self._length:
            raise IndexError(index)
        rng = np.random.default_rng([index, self.split == "val"])
        height, width = self._size
        mask = np.zeros(self._size, np.int32)
        top, left = rng.integers(0, (height - 24, width - 24))
        mask[top : top + 24, left : left + 24] = 1
        rows, columns = np.mgrid[:height, :width]
        centre = rng.integers(16, (height - 16, width - 16))
        radius = np.hypot(rows - centre[0], columns - centre[1])
        mask[(radius > 7) & (radius < 14)] = 2
        colors = np.array([[60, 60, 60], [200, 80, 60], [60, 110, 220]])
        image = colors[mask] + rng.normal(0, 12, (*self._size, 3))
        mask[:2] = 255
        return Sample(f"{self.split}{index}", image.clip(0, 255).astype(np.uint8), mask)
