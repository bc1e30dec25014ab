"""A data set whose samples carry U-Net's weight of each pixel."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.histogram import class_histogram, median_frequency_weights
from keras_seg.data.weight_maps import touching_pixels, weight_map
from keras_seg.names import IGNORE_CLASS


class WeightedDataset(SegmentationDataset):
    """Another data set with `weights` in its samples (`keras_seg.data.weight_maps`).

    Where a sample has no instances, connected pixels of one class above 0 are taken for one.
    A `CachedDataset` around this one keeps the maps in memory; `cache_folder` keeps them on disk,
    each under a name made of what it was computed from, so that changed masks or options are never
    mistaken for old ones.

    Args:
        class_weights: w_c of each class; "median" for the median-frequency weights of this data
            set, which "balanced" means here, too; None for 1. scikit-learn's "balanced" is
            `keras_seg.data.class_weights(dataset, "balanced")`.
        w0, sigma, background_only: of the border term; w0=0 leaves class weights alone.
        separate_touching: pixels on either side of a contact of two instances that become class 0
            in the mask and in the instances, as U-Net draws it; 0 leaves masks alone.
        cache_folder: made if it does not exist.
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
                "U-Net's weight map is one of classes that exclude each other, and several labels "
                f"of {dataset.name} may hold at a pixel. Leave border weights out."
            )
        self._dataset = dataset
        self.name, self.split = dataset.name, dataset.split
        self.classes, self.channels = dataset.classes, dataset.channels
        self.value_range = dataset.value_range
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
            # Renamed when complete, so that a run that is killed leaves no half file behind.
            partial = path.with_suffix(f".{os.getpid()}.tmp")
            with partial.open("wb") as file:
                np.save(file, weights)
            partial.replace(path)
            return weights


def connected_instances(mask: np.ndarray) -> np.ndarray:
    """(H, W) classes → (H, W) int32: one number for connected pixels of one class above 0.

    Pixels that meet at a corner are connected; ignored pixels belong to no instance.
    """
    from scipy import ndimage

    instances = np.zeros(mask.shape, np.int32)
    count = 0
    for value in np.unique(mask[(mask > 0) & (mask != IGNORE_CLASS)]):
        labels, found = ndimage.label(mask == value, np.ones((3, 3)))
        instances[labels > 0] = labels[labels > 0] + count
        count += found
    return instances


def _class_weights(wanted, dataset: SegmentationDataset) -> list[float] | None:
    if wanted is None:
        return None
    if isinstance(wanted, str):
        if wanted not in ("balanced", "median", "median_frequency"):
            raise ValueError(
                'class_weights must be "median", one number per class, or None. '
                f"Received: {wanted!r}"
            )
        return median_frequency_weights(class_histogram(dataset)).tolist()
    weights = [float(weight) for weight in wanted]
    if len(weights) != len(dataset.classes) or min(weights) < 0:
        raise ValueError(
            f"class_weights needs {len(dataset.classes)} numbers of at least 0, one a class. "
            f"Received: {weights}"
        )
    return weights
