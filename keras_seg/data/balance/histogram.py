"""Pixels of each class, counted once per data set."""

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
    """Counts the pixels of each class, without ignored pixels (255).

    Shapes: mask (H, W) of classes, or (H, W, num_classes) of labels 0 and 1 → (num_classes,) int64.
    """
    if mask.ndim == 3:
        return (mask == 1).sum(axis=(0, 1), dtype=np.int64)
    counts = np.bincount(mask[mask != IGNORE_CLASS].ravel(), minlength=num_classes)
    return counts[:num_classes].astype(np.int64)


def class_histogram(dataset: SegmentationDataset) -> np.ndarray:
    """Pixels of each class in each sample, (samples, classes) int64.

    The data set is read once; the result is cached for as long as the object lives.
    """
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
    """Median-frequency balancing: weight = median frequency / frequency of the class.

    The frequency of a class is its share of the known pixels in the images that show it (Eigen and
    Fergus, arXiv:1411.4734; SegNet, arXiv:1511.00561). Classes that never occur get weight 0.

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
