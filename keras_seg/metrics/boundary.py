"""Boundary F1, the BF score of the SegNet paper: how well predicted outlines match true ones.

For each class of an image's mask, precision is the share of the predicted outline within a
tolerance of the true outline. Recall is the share of the true outline within the tolerance of the
predicted outline. F1 = 2 P R / (P + R). The score of an image is the mean over its classes, the
score of a data set the mean over its images.
Sources: Csurka et al., BMVC 2013; Badrinarayanan et al., arXiv:1511.00561, section 4.1.

An outline here is the pixels of a class that have a neighbour of another class above, below, left
or right. The edge of the image and ignored pixels are not neighbours. A class without an outline in
the truth and in the prediction (it fills the image in both) is left out.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops
from scipy.ndimage import distance_transform_edt

from keras_seg.arguments import number
from keras_seg.masks.distances import distance_to
from keras_seg.metrics.confusion import read_pair, set_reading_options
from keras_seg.metrics.direction import GrowingScores
from keras_seg.names import IGNORE_CLASS

TOLERANCE = 0.0075
"""Share of the image's diagonal, as in the SegNet paper."""


def boundary_f1(
    truth: np.ndarray,
    predicted: np.ndarray,
    *,
    ignore_class: int | None = IGNORE_CLASS,
    tolerance: float = TOLERANCE,
) -> float:
    """Mean boundary F1 of masks in NumPy; NaN if no image has an outline.

    Args:
        truth, predicted: class indices (H, W) or (B, H, W).
        ignore_class: mask value of the truth that does not count; None for none.
        tolerance: distance that still matches, as a share of the image's diagonal.

    Raises: ValueError for other shapes.

    Example:
        >>> truth = np.zeros((8, 8), np.uint8)
        >>> truth[:, 4:] = 1
        >>> shifted = np.roll(truth, 2, axis=1)
        >>> round(keras_seg.metrics.boundary_f1(truth, shifted, tolerance=0.2), 4)
        0.8333
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
        class_scores = [
            _f1(_outline(true_ids == value, counted), _outline(ids == value, counted), reach)
            for value in np.unique(true_ids[counted])
        ]
        class_scores = [score for score in class_scores if score is not None]
        scores.extend([np.mean(class_scores)] if class_scores else [])
    return float(np.mean(scores)) if scores else math.nan


def _outline(mask: np.ndarray, counted: np.ndarray) -> np.ndarray:
    other = ~mask & counted
    near = np.zeros_like(mask)
    near[1:] |= other[:-1]
    near[:-1] |= other[1:]
    near[:, 1:] |= other[:, :-1]
    near[:, :-1] |= other[:, 1:]
    return near & mask & counted


def _f1(true: np.ndarray, predicted: np.ndarray, reach: float) -> float | None:
    """F1 of two outlines; None without any outline."""
    if not true.any() and not predicted.any():
        return None
    if not true.any() or not predicted.any():
        return 0.0
    precision = (distance_transform_edt(~true)[predicted] <= reach).mean()
    recall = (distance_transform_edt(~predicted)[true] <= reach).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@keras.saving.register_keras_serializable("keras_seg")
class BoundaryF1(GrowingScores, keras.metrics.Metric):
    """`boundary_f1` inside `fit` and `evaluate`: the mean over the images so far.

    The inputs are those of `ConfusionMetric`. With `multi_label` each label is a class with its own
    ignored pixels. The result is NaN after a counted pixel with an invalid label or prediction.
    Distances are computed only up to the tolerance, and up to 64 pixels for images whose size is
    unknown when the step is traced.

    Args:
        num_classes: number of mask values; 1 and 2 both mean a binary network.
        tolerance: distance that still matches, as a share of the image's diagonal.
        ignore_class, from_logits, multi_label, threshold: see `ConfusionMetric`.
        name: name in logs.
        dtype: type of the result; None for Keras' default.

    Example:
        >>> truth = np.zeros((1, 8, 8), np.uint8)
        >>> truth[:, :, 4:] = 1
        >>> metric = keras_seg.metrics.BoundaryF1(2, tolerance=0.2)
        >>> metric.update_state(truth, np.roll(truth, 2, axis=2))
        >>> round(float(metric.result()), 4)
        0.8333
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
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        set_reading_options(self, num_classes, ignore_class, from_logits, multi_label, threshold)
        self.tolerance = number(tolerance, "tolerance")
        # float32 whatever the metric's type, since float16 stops counting at 2,048 images
        self.total, self.images = (
            self.add_weight(shape=(), initializer="zeros", dtype="float32", name=name)
            for name in ("total", "images")
        )

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch. Weights are not used, since an outline has no weight."""
        truth, predicted, counted, known = read_pair(self, y_true, y_pred)
        invalid = ops.any(counted & ops.logical_not(known))
        if self.multi_label:
            true, positive = truth == 1, predicted == 1
        else:
            counted = counted[..., None]
            true, positive = (
                ids[..., None] == ops.arange(self.num_classes, dtype="int32")
                for ids in (truth, predicted)
            )
        scores, images = self._scores(true & counted, positive & counted, counted)
        # a NaN sum stays NaN until the metric is reset
        self.total.assign_add(ops.where(invalid, float("nan"), ops.sum(scores)))
        self.images.assign_add(ops.sum(images))

    def _scores(self, true: Any, predicted: Any, counted: Any) -> tuple[Any, Any]:
        """(B, H, W, C) bool masks → (B,) score per image, and (B,) 1 where it has one."""
        sizes = true.shape[1:3]
        present = ops.any(true, (1, 2))
        height, width = ops.shape(true)[1], ops.shape(true)[2]
        true, predicted = outlines(true, counted), outlines(predicted, counted)
        diagonal = ops.sqrt(ops.cast(height * height + width * width, "float32"))
        # a pixel at exactly the tolerance is within, whatever float32 rounds to
        reach = self.tolerance * diagonal + 1e-4
        steps = 64
        if None not in sizes:
            steps = math.floor(self.tolerance * math.hypot(*sizes)) + 1
        precision = _share(predicted, distance_to(true, steps) <= reach)
        recall = _share(true, distance_to(predicted, steps) <= reach)
        f1 = ops.divide_no_nan(2 * precision * recall, precision + recall)
        outlined = ops.any(true, (1, 2)) | ops.any(predicted, (1, 2))
        counts = ops.cast(present & outlined, "float32")
        number = ops.sum(counts, -1)
        return ops.divide_no_nan(ops.sum(f1 * counts, -1), number), ops.sign(number)

    def result(self) -> Any:
        """The mean over the images so far."""
        total, images = ops.convert_to_tensor(self.total), ops.convert_to_tensor(self.images)
        return ops.where(ops.isnan(total), total, ops.divide_no_nan(total, images))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {
            "num_classes": self.num_classes,
            "tolerance": self.tolerance,
            "ignore_class": self.ignore_class,
            "from_logits": self.from_logits,
            "multi_label": self.multi_label,
            "threshold": self.threshold,
        }


def outlines(masks: Any, counted: Any) -> Any:
    """(B, H, W, C) bool pixels of each mask that have a counted neighbour outside of it."""
    other = ops.logical_not(masks) & counted
    padded = ops.pad(other, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=False)
    near = padded[:, 2:, 1:-1] | padded[:, :-2, 1:-1] | padded[:, 1:-1, 2:] | padded[:, 1:-1, :-2]
    return masks & near


def _share(outline: Any, within: Any) -> Any:
    """(B, C) share of the pixels of an outline that are `within`."""
    axes = (1, 2)
    hits = ops.sum(ops.cast(outline & within, "float32"), axes)
    return ops.divide_no_nan(hits, ops.sum(ops.cast(outline, "float32"), axes))
