"""Boundary F1, the BF score of the SegNet paper: how well the outlines lie.

For each class of an image's mask: precision is the share of the predicted outline within a
tolerance of the true outline, recall the share of the true outline within it of the predicted one,
F1 = 2 P R / (P + R). The mean over the classes is the image's score, the mean over the images the
data set's. Sources: Csurka et al., BMVC 2013; Badrinarayanan et al., arXiv:1511.00561, section 4.1.

An outline here is the pixels of a class that have a neighbour of another class above, below, left
or right; the edge of the image and ignored pixels make none. A class without an outline in the
truth and in the prediction (it fills the image in both) is left out.
"""

from __future__ import annotations

import math

import keras
import numpy as np
from keras import ops
from scipy.ndimage import distance_transform_edt

from keras_seg.arguments import number
from keras_seg.masks.distances import distance_to
from keras_seg.metrics.confusion import read_pair, take_reading
from keras_seg.metrics.direction import GrowingScores
from keras_seg.names import IGNORE_CLASS

TOLERANCE = 0.0075
"""Of the image's diagonal, as in the SegNet paper."""


def boundary_f1(
    truth: np.ndarray,
    predicted: np.ndarray,
    *,
    ignore_class: int | None = IGNORE_CLASS,
    tolerance: float = TOLERANCE,
) -> float:
    """Mean boundary F1 of class ids (H, W) or (B, H, W); NaN if no image has an outline.

    Args:
        truth, predicted: masks of the same shape.
        ignore_class: mask value of the truth that does not count.
        tolerance: as a share of the image's diagonal.

    Raises: ValueError for other shapes.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape or truth.ndim not in (2, 3):
        raise ValueError(
            "boundary_f1 needs two masks (H, W) or (B, H, W) of one shape. "
            f"Received: {truth.shape} and {predicted.shape}"
        )
    if truth.ndim == 2:
        truth, predicted = truth[None], predicted[None]
    scores = []
    for true_ids, ids in zip(truth, predicted, strict=True):
        counted = (
            np.ones(true_ids.shape, bool) if ignore_class is None else true_ids != ignore_class
        )
        reach = tolerance * math.hypot(*true_ids.shape)
        found = [
            _f1(_outline(true_ids == value, counted), _outline(ids == value, counted), reach)
            for value in np.unique(true_ids[counted])
        ]
        found = [score for score in found if score is not None]
        scores.extend([np.mean(found)] if found else [])
    return float(np.mean(scores)) if scores else math.nan


def _outline(mask, counted):
    other = ~mask & counted
    near = np.zeros_like(mask)
    near[1:] |= other[:-1]
    near[:-1] |= other[1:]
    near[:, 1:] |= other[:, :-1]
    near[:, :-1] |= other[:, 1:]
    return near & mask & counted


def _f1(true, found, reach):
    if not true.any() and not found.any():
        return None
    if not true.any() or not found.any():
        return 0.0
    precision = (distance_transform_edt(~true)[found] <= reach).mean()
    recall = (distance_transform_edt(~found)[true] <= reach).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@keras.saving.register_keras_serializable("keras_seg")
class BoundaryF1(GrowingScores, keras.metrics.Metric):
    """`boundary_f1` inside `fit` and `evaluate`: the mean over the images seen so far.

    Takes what every metric here takes; with `multi_label` the labels are the classes, each with its
    own ignored pixels. NaN once a pixel that counts had no label or no prediction. Counts distances
    only as far as the tolerance goes, at most 64 pixels for images whose size is unknown when the
    step is traced.

    Args:
        num_classes: number of mask values; 1 and 2 are both a binary network.
        tolerance: as a share of the image's diagonal.
        ignore_class, from_logits, multi_label, threshold: as for every metric here.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        tolerance: float = TOLERANCE,
        ignore_class: int | None = IGNORE_CLASS,
        from_logits: bool = True,
        multi_label: bool = False,
        threshold: float = 0.5,
        name: str = "boundary_f1",
        dtype=None,
    ):
        super().__init__(name=name, dtype=dtype)
        take_reading(self, num_classes, ignore_class, from_logits, multi_label, threshold)
        self.tolerance = number(tolerance, "tolerance")
        # float32 whatever the metric's type: float16 stops counting at 2,048 images
        self.total, self.images = (
            self.add_weight(shape=(), initializer="zeros", dtype="float32", name=name)
            for name in ("total", "images")
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch; weights are not used, since an outline has no weight."""
        truth, predicted, counted, known = read_pair(self, y_true, y_pred)
        invalid = ops.any(counted & ops.logical_not(known))
        if self.multi_label:
            true, found = truth == 1, predicted == 1
        else:
            counted = counted[..., None]
            true, found = (
                ops.one_hot(ids, self.num_classes, dtype="bool") for ids in (truth, predicted)
            )
        scores, images = self._scores(true & counted, found & counted, counted)
        # a sum that is NaN stays so until the metric is reset
        self.total.assign_add(ops.where(invalid, float("nan"), ops.sum(scores)))
        self.images.assign_add(ops.sum(images))

    def _scores(self, true, found, counted):
        """(B,) score of each image, and (B,) 1 where it has one; of masks (B, H, W, C) bool."""
        sizes = true.shape[1:3]
        present = ops.any(true, (1, 2))
        height, width = ops.shape(true)[1], ops.shape(true)[2]
        true, found = outlines(true, counted), outlines(found, counted)
        diagonal = ops.sqrt(ops.cast(height * height + width * width, "float32"))
        # float32 must not decide whether a pixel at exactly the tolerance is within
        reach = self.tolerance * diagonal + 1e-4
        steps = 64
        if None not in sizes:
            steps = math.floor(self.tolerance * math.hypot(*sizes)) + 1
        precision = _share(found, distance_to(true, steps) <= reach)
        recall = _share(true, distance_to(found, steps) <= reach)
        f1 = ops.divide_no_nan(2 * precision * recall, precision + recall)
        outlined = ops.any(true, (1, 2)) | ops.any(found, (1, 2))
        counts = ops.cast(present & outlined, "float32")
        number = ops.sum(counts, -1)
        return ops.divide_no_nan(ops.sum(f1 * counts, -1), number), ops.sign(number)

    def result(self):
        total, images = ops.convert_to_tensor(self.total), ops.convert_to_tensor(self.images)
        return ops.where(ops.isnan(total), total, ops.divide_no_nan(total, images))

    def get_config(self):
        return super().get_config() | {
            "num_classes": self.num_classes,
            "tolerance": self.tolerance,
            "ignore_class": self.ignore_class,
            "from_logits": self.from_logits,
            "multi_label": self.multi_label,
            "threshold": self.threshold,
        }


def outlines(masks, counted):
    """(B, H, W, C) bool pixels of each mask with a counted neighbour outside of it."""
    other = ops.logical_not(masks) & counted
    padded = ops.pad(other, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=False)
    near = padded[:, 2:, 1:-1] | padded[:, :-2, 1:-1] | padded[:, 1:-1, 2:] | padded[:, 1:-1, :-2]
    return masks & near


def _share(outline, within):
    """(B, C) share of the outline's pixels that are within."""
    axes = (1, 2)
    hits = ops.sum(ops.cast(outline & within, "float32"), axes)
    return ops.divide_no_nan(hits, ops.sum(ops.cast(outline, "float32"), axes))
