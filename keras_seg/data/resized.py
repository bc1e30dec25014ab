"""A data set at one fixed size."""

from __future__ import annotations

import numpy as np
from PIL import Image

from keras_seg.data.dataset import Sample, SegmentationDataset


class ResizedDataset(SegmentationDataset):
    """Another data set with every image and mask resized to (height, width) pixels.

    Images bilinear (over all covered pixels when shrinking), masks, instances and weights nearest.
    """

    def __init__(self, dataset: SegmentationDataset, size: tuple[int, int]):
        self._dataset, self.size = dataset, tuple(size)
        self.name, self.split = dataset.name, dataset.split
        self.classes, self.channels = dataset.classes, dataset.channels
        self.multi_label = dataset.multi_label
        self.value_range = dataset.value_range

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self._dataset[index]
        maps = (sample.mask, sample.instances, sample.weights)
        resized = [None if m is None else resize_mask(m, self.size) for m in maps]
        return Sample(sample.name, resize_image(sample.image, self.size), *resized)


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, C) uint8 → (height, width, C) uint8; bilinear, averaging where the image shrinks."""
    if image.shape[:2] == tuple(size):
        return image
    height, width = size
    bands = [
        np.asarray(Image.fromarray(band).resize((width, height), Image.Resampling.BILINEAR))
        for band in np.moveaxis(image, -1, 0)
    ]
    return np.stack(bands, axis=-1)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) or (H, W, C) numbers → (height, width[, C]) of the same type, nearest."""
    if mask.ndim == 3:
        return np.stack([resize_mask(band, size) for band in np.moveaxis(mask, -1, 0)], axis=-1)
    height, width = size
    kind = np.float32 if np.issubdtype(mask.dtype, np.floating) else np.int32
    resized = Image.fromarray(mask.astype(kind)).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(resized).astype(mask.dtype)
