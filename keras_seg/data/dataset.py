"""The interface of all data sets: a sequence of samples."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.data.reading.ranges import ValueRange


class Sample(NamedTuple):
    """One image with its labels.

    Attributes:
        name: unique in the data set; for a file its name without suffix.
        image: (H, W, C) uint8.
        mask: (H, W) int32, the class of each pixel, or 255 if unknown. In a multi-label data set
            (H, W, labels) uint8: 1 if the pixel has the label, 0 if not, 255 if unknown.
        instances: (H, W) int32, the number of the object at each pixel, 0 for background; None if
            unknown.
        weights: (H, W) float32, the weight of each pixel in the loss; None if all are equal.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray
    instances: np.ndarray | None = None
    weights: np.ndarray | None = None


class SegmentationDataset(Sequence, abc.ABC):
    """Samples by index. Reading an index twice gives the same sample.

    Subclasses set the attributes and define `__len__` and `__getitem__`.

    Attributes:
        name: name of the data set.
        split: "train" or "val".
        classes: the class table.
        channels: number of channels of every image.
        value_range: (black, white) of images with more than 8 bits, or one such pair per band; None
            if all have 8 bits.
        nodata: value of image pixels that hold no data; None if the files state it, or all do.
        multi_label: whether masks are (H, W, labels) of 0, 1 and 255.

    Example:

        dataset = keras_seg.data.open_dataset("builtin:cells")
        sample = dataset[0]
        sample.image.shape, sample.mask.shape  # (128, 128, 3), (128, 128)
    """

    name: str
    split: str
    classes: ClassTable
    channels: int
    value_range: ValueRange | None = None
    nodata: float | None = None
    multi_label: bool = False

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def __getitem__(self, index: int) -> Sample: ...

    def sample_name(self, index: int) -> str:
        """The name of a sample. Subclasses that know it need not read the sample."""
        return self[index].name
