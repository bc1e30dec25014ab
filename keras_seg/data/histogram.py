"""How often each class occurs: counted once a data set, remembered, and turned into weights."""

from __future__ import annotations

import os
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.progress import tracked
from keras_seg.names import IGNORE_CLASS

_COUNTED: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def count_classes(mask: np.ndarray, num_classes: int) -> np.ndarray:
    """(H, W) classes → (num_classes,) int64 pixels of each; ignored pixels are not counted.

    Of a multi-label mask (H, W, num_classes) the pixels where each label holds.
    """
    if mask.ndim == 3:
        return (mask == 1).sum(axis=(0, 1), dtype=np.int64)
    counts = np.bincount(mask[mask != IGNORE_CLASS].ravel(), minlength=num_classes)
    return counts[:num_classes].astype(np.int64)


def class_histogram(dataset: SegmentationDataset) -> np.ndarray:
    """(samples, classes) int64 pixels; read once for each data set object, then remembered."""
    counted = _COUNTED.get(dataset)
    if counted is None or len(counted) != len(dataset):
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            rows = pool.map(
                lambda index: count_classes(dataset[index].mask, len(dataset.classes)),
                range(len(dataset)),
            )
            title = f"Counting classes of {dataset.split}"
            counted = np.stack(list(tracked(rows, title, total=len(dataset))))
        counted.flags.writeable = False
        _COUNTED[dataset] = counted
    return counted


def median_frequency_weights(histogram: np.ndarray) -> np.ndarray:
    """Weights that balance classes: median frequency / frequency of the class.

    The frequency of a class is its share of the known pixels of the images that it occurs in
    (Eigen and Fergus, arXiv:1411.4734; SegNet, arXiv:1511.00561). Classes that never occur weigh 0.

    Shapes: (samples, classes) pixels → (classes,) float64.
    """
    histogram = np.asarray(histogram, np.float64)
    shown_in = (histogram > 0) * histogram.sum(axis=1, keepdims=True)
    room = shown_in.sum(axis=0)
    present = room > 0
    frequency = np.divide(histogram.sum(axis=0), room, out=np.zeros(len(room)), where=present)
    if not present.any():
        return frequency
    median = np.median(frequency[present])
    return np.divide(median, frequency, out=np.zeros(len(room)), where=present)
