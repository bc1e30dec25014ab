"""Average precision of the objects in predicted masks, image by image."""

from __future__ import annotations

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import Sample
from keras_seg.inference.instance_map import (
    InstanceOptions,
    border_class,
    instances,
    object_classes,
)
from keras_seg.masks.instance_matching import THRESHOLDS, match_counts, precision_of_counts
from keras_seg.names import IGNORE_CLASS


class ObjectScores:
    """Counts matched objects of each class, as in the Data Science Bowl 2018.

    Args:
        classes: class table of the masks.
        options: how predicted masks are divided into objects.
    """

    def __init__(self, classes: ClassTable, options: InstanceOptions) -> None:
        self._classes, self._options = classes, options
        border = border_class(classes)
        self._labels = [label for label in object_classes(classes) if label != border]
        self._precisions: dict[int, list[np.ndarray]] = {label: [] for label in self._labels}

    def measured(self, sample: Sample, mask: np.ndarray) -> dict[int, np.ndarray]:
        """Class → precision of its objects in an image at each threshold, for `add`.

        The true objects are those of the sample, or else the objects of its mask. Objects of a
        class are matched with objects of that class. Pixels of truth 255 belong to no object.

        Shapes: mask (H, W).
        """
        predicted = instances(
            np.where(sample.mask == IGNORE_CLASS, IGNORE_CLASS, mask),
            self._classes,
            min_area=self._options.min_area,
            split_touching=self._options.split_touching,
        )
        found = np.zeros(len(predicted) + 1, np.int32)
        found[1:] = [each.label for each in predicted.objects]
        truth, true_labels = self._true_objects(sample)
        precisions = {}
        for label in self._labels:
            true_objects = np.where(true_labels == label, truth, 0)
            objects = np.where(found[predicted.labels] == label, predicted.labels, 0)
            precisions[label] = precision_of_counts(match_counts(true_objects, objects))
        return precisions

    def add(self, measured: dict[int, np.ndarray]) -> None:
        """Adds what `measured` returned for an image."""
        for label, precisions in measured.items():
            if not np.isnan(precisions).any():
                self._precisions[label].append(precisions)

    def precisions(self) -> dict[str, float] | None:
        """IoU threshold → mean over the classes of the mean precision of their images."""
        classes = [np.mean(images, axis=0) for images in self._precisions.values() if images]
        if not classes:
            return None
        mean = np.mean(classes, axis=0)
        return {f"{each:.2f}": float(value) for each, value in zip(THRESHOLDS, mean, strict=True)}

    def _true_objects(self, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the true objects, and the class of the object at each pixel."""
        if sample.instances is None:
            objects = instances(sample.mask, self._classes)
            classes = np.zeros(len(objects) + 1, np.int32)
            classes[1:] = [each.label for each in objects.objects]
            return objects.labels, classes[objects.labels]
        known = np.where(sample.mask == IGNORE_CLASS, 0, sample.instances)
        _, numbers = np.unique(known, return_inverse=True)
        numbers = numbers.reshape(known.shape)
        votes = np.zeros((numbers.max() + 1, len(self._classes)), np.int64)
        counted = sample.mask != IGNORE_CLASS
        np.add.at(votes, (numbers[counted], sample.mask[counted]), 1)
        return known, votes.argmax(-1)[numbers]
