"""Metrics of one number, and `SegmentationMetrics` for many from one matrix."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from keras_seg.metrics import confusion
from keras_seg.metrics.confusion import ConfusionMetric, Counts, nan_where_absent
from keras_seg.names import IGNORE_CLASS, unknown_name

SCORES = {
    "mean_iou": confusion.mean_iou,
    "mean_dice": confusion.mean_dice,
    "pixel_accuracy": confusion.pixel_accuracy,
    "mean_class_accuracy": confusion.mean_class_accuracy,
    "frequency_weighted_iou": confusion.frequency_weighted_iou,
}


class _OneScore(ConfusionMetric):
    """A metric that is one of SCORES."""

    score = ""

    def __init__(
        self,
        num_classes: int,
        *,
        ignore_class: int | None = IGNORE_CLASS,
        from_logits: bool = True,
        multi_label: bool = False,
        threshold: float = 0.5,
        name: str | None = None,
        dtype=None,
    ):
        super().__init__(
            num_classes,
            ignore_class=ignore_class,
            from_logits=from_logits,
            multi_label=multi_label,
            threshold=threshold,
            name=name or self.score,
            dtype=dtype,
        )

    def result(self):
        return self.unless_invalid(SCORES[self.score](Counts(self.confusion)))

    def _each(self, values, size) -> np.ndarray:
        """(K,) values as an array, NaN where `size` is 0, and everywhere if pixels were invalid."""
        return nan_where_absent(self.unless_invalid(values), size)


@keras.saving.register_keras_serializable("keras_seg")
class MeanIoU(_OneScore):
    """Mean over classes of intersection / union.

    Classes that occur neither in the truth nor in the prediction are left out of the mean. Differs
    from `keras.metrics.MeanIoU`: takes raw scores, gives each class, and works for binary networks.
    """

    score = "mean_iou"

    def per_class(self) -> np.ndarray:
        """IoU of each class, NaN where a class occurred neither in truth nor in prediction."""
        counts = Counts(self.confusion)
        return self._each(counts.iou(), counts.union)


@keras.saving.register_keras_serializable("keras_seg")
class MeanDice(_OneScore):
    """Mean over classes of 2 hits / (truth + predicted), which is F1; absent classes left out."""

    score = "mean_dice"

    def per_class(self) -> np.ndarray:
        """Dice of each class, NaN where a class occurred neither in truth nor in prediction."""
        counts = Counts(self.confusion)
        return self._each(counts.dice(), counts.union)


@keras.saving.register_keras_serializable("keras_seg")
class PixelAccuracy(_OneScore):
    """Share of the counted pixels that are predicted right ("global accuracy" of SegNet).

    With `multi_label` the share of all labels of all pixels, as `keras.metrics.BinaryAccuracy`.
    """

    score = "pixel_accuracy"


@keras.saving.register_keras_serializable("keras_seg")
class MeanClassAccuracy(_OneScore):
    """Mean over the classes of the truth of their share of right pixels ("class average")."""

    score = "mean_class_accuracy"

    def per_class(self) -> np.ndarray:
        """Accuracy (recall) of each class, NaN where a class does not occur in the truth."""
        counts = Counts(self.confusion)
        return self._each(counts.accuracy(), counts.truth)


@keras.saving.register_keras_serializable("keras_seg")
class FrequencyWeightedIoU(_OneScore):
    """IoU of the classes, weighted by their share of the truth's pixels."""

    score = "frequency_weighted_iou"


@keras.saving.register_keras_serializable("keras_seg")
class ClassIoU(ConfusionMetric):
    """IoU of one class.

    Args:
        class_id: the class.
        num_classes, ignore_class, from_logits, multi_label, threshold: as for every metric
            here.
    """

    def __init__(
        self,
        num_classes: int,
        class_id: int,
        *,
        ignore_class: int | None = IGNORE_CLASS,
        from_logits: bool = True,
        multi_label: bool = False,
        threshold: float = 0.5,
        name: str | None = None,
        dtype=None,
    ):
        super().__init__(
            num_classes,
            ignore_class=ignore_class,
            from_logits=from_logits,
            multi_label=multi_label,
            threshold=threshold,
            name=name or f"iou_{class_id}",
            dtype=dtype,
        )
        if not 0 <= class_id < self.num_classes:
            raise ValueError(
                f"class_id must be 0 to {self.num_classes - 1}. Received: class_id={class_id}"
            )
        self.class_id = class_id

    def result(self):
        return self.unless_invalid(Counts(self.confusion).iou()[self.class_id])

    def get_config(self):
        return super().get_config() | {"class_id": self.class_id}


@keras.saving.register_keras_serializable("keras_seg")
class SegmentationMetrics(ConfusionMetric):
    """Many scores from one confusion matrix: in `fit`, each is an entry of the logs.

    `metrics=[SegmentationMetrics(3, class_names=["sky", "road", "car"])]` logs mean_iou, mean_dice,
    pixel_accuracy, mean_class_accuracy, frequency_weighted_iou, iou_sky, iou_road and iou_car, the
    matrix being counted once. The IoU of a class that occurred nowhere is NaN.

    Args:
        num_classes, ignore_class, from_logits, multi_label, threshold: as for every metric
            here.
        scores: which of these to give; all by default.
        class_names: adds the IoU of each class, in this order; None for none.
        prefix: before each name, for a model with several outputs.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        scores: Sequence[str] = tuple(SCORES),
        class_names: Sequence[str] | None = None,
        prefix: str = "",
        ignore_class: int | None = IGNORE_CLASS,
        from_logits: bool = True,
        multi_label: bool = False,
        threshold: float = 0.5,
        name: str = "segmentation",
        dtype=None,
    ):
        super().__init__(
            num_classes,
            ignore_class=ignore_class,
            from_logits=from_logits,
            multi_label=multi_label,
            threshold=threshold,
            name=name,
            dtype=dtype,
        )
        for score in scores:
            if score not in SCORES:
                raise ValueError(unknown_name("score", score, SCORES))
        if class_names is not None and len(set(class_names)) < len(class_names):
            raise ValueError(
                f"class_names has a name twice, which has one entry in the logs: {class_names}"
            )
        if class_names is not None and len(class_names) != self.num_classes:
            raise ValueError(
                f"{len(class_names)} class_names for {self.num_classes} classes: {class_names}"
            )
        self.scores, self.prefix = tuple(scores), prefix
        self.class_names = None if class_names is None else tuple(class_names)

    def result(self):
        counts = Counts(self.confusion)
        values = [SCORES[score](counts) for score in self.scores]
        if self.class_names is not None:
            iou = ops.where(counts.union > 0, counts.iou(), float("nan"))
            values += [iou[number] for number in range(len(self.class_names))]
        return dict(zip(self.logged_names(), map(self.unless_invalid, values), strict=True))

    def logged_names(self) -> list[str]:
        """mean_iou and so on, each with the prefix."""
        names = [*self.scores, *(f"iou_{name}" for name in self.class_names or ())]
        return [self.prefix + name for name in names]

    def get_config(self):
        return super().get_config() | {
            "scores": self.scores,
            "class_names": self.class_names,
            "prefix": self.prefix,
        }
