"""A data set with U-Net's weight for each pixel."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_seg.data.balance.histogram import class_histogram, median_frequency_weights
from keras_seg.data.balance.weight_maps import touching_pixels, weight_map
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.names import IGNORE_CLASS


class WeightedDataset(SegmentationDataset):
    """Adds `weights`, U-Net's weight map, to the samples of another data set.

    If a sample has no instances, each connected region of a class above 0 counts as one. A
    `CachedDataset` around this one keeps the maps in memory. `cache_folder` keeps them on disk, in
    files named by a hash of masks and options, so that a map for an older mask or option is
    never used.

    Args:
        dataset: the data set to weight.
        class_weights: one weight per class; "median" (or "balanced", which means the same here)
            for the median-frequency weights of this data set; None for 1. For scikit-learn's
            "balanced" pass `keras_seg.data.class_weights(dataset, "balanced")`.
        w0: height of the border term. With 0 only the class weights count.
        sigma: width of the border term, in pixels.
        background_only: whether only background pixels get the border term.
        separate_touching: width in pixels of the gap drawn between touching instances, on either
            side: these pixels become class 0, as in U-Net. 0 keeps the masks.
        cache_folder: folder for the maps, created if it does not exist.

    Raises: ValueError for a multi-label data set, or weights that do not fit its classes.

    Example:

        cells = keras_seg.data.open_dataset("builtin:cells")
        weighted = keras_seg.data.WeightedDataset(cells, class_weights="median")
        weighted[0].weights.shape  # (128, 128)
    """

    def __init__(
        self,
        dataset: SegmentationDataset,
        *,
        class_weights: Sequence[float] | str | None = None,
        w0: float = 10.0,
        sigma: float = 5.0,
        background_only: bool = True,
        separate_touching: int = 0,
        cache_folder: str | Path | None = None,
    ):
        if dataset.multi_label:
            raise ValueError(
                "U-Net's weight map needs one class per pixel, and pixels of "
                f"{dataset.name} may have several labels. Leave border weights out."
            )
        self._dataset = dataset
        self.name, self.split = dataset.name, dataset.split
        self.classes, self.channels = dataset.classes, dataset.channels
        self.value_range, self.nodata = dataset.value_range, dataset.nodata
        self._separate = separate_touching
        self._options = {
            "class_weights": _class_weights(class_weights, dataset),
            "w0": float(w0),
            "sigma": float(sigma),
            "background_only": bool(background_only),
        }
        self._folder = None if cache_folder is None else Path(cache_folder)
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        sample = self._dataset[index]
        instances = sample.instances
        if instances is None:
            instances = connected_instances(sample.mask)
        mask = sample.mask
        if self._separate:
            contact = touching_pixels(instances, width=self._separate)
            mask, instances = np.where(contact, 0, mask), np.where(contact, 0, instances)
        weights = self._weights(mask, instances)
        kept = None if sample.instances is None else instances
        return sample._replace(mask=mask, instances=kept, weights=weights)

    def _weights(self, mask: np.ndarray, instances: np.ndarray) -> np.ndarray:
        if self._folder is None:
            return weight_map(mask, instances, **self._options)
        origin = hashlib.blake2b(repr((mask.shape, sorted(self._options.items()))).encode())
        for array in (mask, instances):
            origin.update(np.ascontiguousarray(array).tobytes())
        path = self._folder / f"{origin.hexdigest()[:32]}.npy"
        try:
            return np.load(path)
        except (OSError, ValueError, EOFError):  # not there yet, or cut short
            weights = weight_map(mask, instances, **self._options)
            # Renamed when complete: a killed run leaves no half-written file.
            partial = path.with_suffix(f".{os.getpid()}.tmp")
            with partial.open("wb") as file:
                np.save(file, weights)
            partial.replace(path)
            return weights


def connected_instances(mask: np.ndarray) -> np.ndarray:
    """Numbers the connected regions of each class above 0.

    Pixels that touch at a corner are connected. Ignored pixels (255) belong to no instance.

    Shapes: (H, W) classes → (H, W) int32, 0 for background and instances from 1.
    """
    from scipy import ndimage

    instances = np.zeros(mask.shape, np.int32)
    count = 0
    for value in np.unique(mask[(mask > 0) & (mask != IGNORE_CLASS)]):
        labels, regions = ndimage.label(mask == value, np.ones((3, 3)))
        instances[labels > 0] = labels[labels > 0] + count
        count += regions
    return instances


def _class_weights(
    given: Sequence[float] | str | None, dataset: SegmentationDataset
) -> list[float] | None:
    if given is None:
        return None
    if isinstance(given, str):
        if given not in ("balanced", "median", "median_frequency"):
            raise ValueError(
                'class_weights must be "median", one number per class, or None. '
                f"Received: {given!r}"
            )
        return median_frequency_weights(class_histogram(dataset)).tolist()
    weights = [float(weight) for weight in given]
    if len(weights) != len(dataset.classes) or min(weights) < 0:
        raise ValueError(
            f"class_weights needs {len(dataset.classes)} numbers of at least 0, one per class. "
            f"Received: {weights}"
        )
    return weights
