"""What every data set of this package is: a sequence of images with their masks."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_seg.data.classes import ClassTable


class Sample(NamedTuple):
    """One image with its truth.

    name: unique in the data set; the stem of its file where there is one.
    image: (H, W, C) uint8.
    mask: (H, W) int32 class of each pixel, 255 where it is unknown; of a multi-label data set
        (H, W, classes) uint8, 1 where a label holds, 0 where not, 255 where that is unknown.
    instances: (H, W) int32, 0 for background, objects from 1; None where not known.
    weights: (H, W) float32 of each pixel in the loss; None where all count alike.
    """

    name: str
    image: np.ndarray
    mask: np.ndarray
    instances: np.ndarray | None = None
    weights: np.ndarray | None = None


class SegmentationDataset(Sequence, abc.ABC):
    """Images and masks by index; reading one twice gives the same sample.

    Attributes: `name`, `split`, `classes` (ClassTable), `channels` (of every image),
    `value_range` ((black, white) of images of more than 8 bits, None where there are none),
    `multi_label` (masks are (H, W, labels) of 0 and 1, or 255 where unknown).
    """

    name: str
    split: str
    classes: ClassTable
    channels: int
    value_range: tuple[float, float] | None = None
    multi_label: bool = False

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def __getitem__(self, index: int) -> Sample: ...
