"""The first stage of DeconvNet: images of one object each, cut out of images with instances.

As in the paper, a crop is 1.2 times the box of an object, and only that object is labelled.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from keras_seg.data.dataset import SegmentationDataset

MARGIN = 1.2
SMALLEST = 8
"""Pixels: a smaller object is left out."""
PER_IMAGE = 4
SIDE = 64


def single_objects(dataset: SegmentationDataset, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Crops of single objects: images (N, 64, 64, 3) uint8 and masks (N, 64, 64) uint8 of 0, 1."""
    generator = np.random.default_rng(seed)
    images, masks = [], []
    for sample in dataset:
        numbers = np.unique(sample.instances)
        for number in generator.permutation(numbers[numbers > 0])[:PER_IMAGE]:
            cut = crop_of(sample.image, sample.instances == number)
            if cut is not None:
                images.append(cut[0])
                masks.append(cut[1])
    return np.stack(images), np.stack(masks)


def crop_of(image: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The square around one object at `SIDE` pixels; None for one that is too small.

    Args:
        image: (H, W, 3) uint8.
        chosen: (H, W) bool, the pixels of the object.
    """
    rows, columns = np.nonzero(chosen)
    if max(np.ptp(rows), np.ptp(columns)) + 1 < SMALLEST:
        return None
    side = int(np.ceil(MARGIN * (max(np.ptp(rows), np.ptp(columns)) + 1)))
    top = (rows.min() + rows.max() + 1 - side) // 2
    left = (columns.min() + columns.max() + 1 - side) // 2
    # outside of the image, the crop shows its mirror image without any object
    margin = side
    image = np.pad(image, ((margin, margin), (margin, margin), (0, 0)), "symmetric")
    chosen = np.pad(chosen, margin)
    window = slice(top + margin, top + margin + side), slice(left + margin, left + margin + side)
    size = (SIDE, SIDE)
    small = Image.fromarray(image[window]).resize(size, Image.Resampling.BILINEAR)
    mask = Image.fromarray(chosen[window].astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    return np.asarray(small), np.asarray(mask)
