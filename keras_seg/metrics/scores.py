"""Metrics with one score, and `SegmentationMetrics` with many scores from one matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
    """Base of the metrics with one of SCORES; a subclass sets `score`."""

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
        dtype: Any = None,
    ) -> None:
        super().__init__(
            num_classes,
            ignore_class=ignore_class,
            from_logits=from_logits,
            multi_label=multi_label,
            threshold=threshold,
            name=name or self.score,
            dtype=dtype,
        )

    def result(self) -> Any:
        """The score so far."""
        return self.unless_invalid(SCORES[self.score](Counts(self.confusion)))

    def _each(self, values: Any, size: Any) -> np.ndarray:
        """(K,) values as an array, NaN where `size` is 0, and everywhere after an invalid pixel."""
        return nan_where_absent(self.unless_invalid(values), size)


@keras.saving.register_keras_serializable("keras_seg")
class MeanIoU(_OneScore):
    """Mean IoU: intersection over union, averaged over classes.

    Classes that occur neither in the truth nor in the prediction are left out. Unlike
    `keras.metrics.MeanIoU` it takes raw scores, has the IoU per class, and supports binary
    networks.

    Args:
        num_classes, ignore_class, from_logits, multi_label, threshold: see `ConfusionMetric`.
        name: name in logs.
        dtype: type of the result; None for Keras' default.

    Example:
        >>> metric = keras_seg.metrics.MeanIoU(2)
        >>> masks = np.array([[[0, 1], [1, 255]]])  # (batch, height, width); 255 is ignored
        >>> metric.update_state(masks, np.array([[[0, 1], [0, 0]]]))
        >>> float(metric.result()), metric.per_class().tolist()
        (0.5, [0.5, 0.5])
    """

    score = "mean_iou"

    def per_class(self) -> np.ndarray:
        """(K,) IoU per class; NaN for a class neither in the truth nor in the prediction."""
        counts = Counts(self.confusion)
        return self._each(counts.iou(), counts.union)


@keras.saving.register_keras_serializable("keras_seg")
class MeanDice(_OneScore):
    """Mean Dice score (F1): 2 hits / (truth + predicted), averaged over classes.

    Classes that occur neither in the truth nor in the prediction are left out.

    Args:
        num_classes, ignore_class, from_logits, multi_label, threshold: see `ConfusionMetric`.
        name: name in logs.
        dtype: type of the result; None for Keras' default.

    Example:
        >>> metric = keras_seg.metrics.MeanDice(2)
        >>> masks = np.array([[[0, 1], [1, 255]]])  # (batch, height, width); 255 is ignored
        >>> metric.update_state(masks, np.array([[[0, 1], [0, 0]]]))
        >>> round(float(metric.result()), 4)
        0.6667
    """

    score = "mean_dice"

    def per_class(self) -> np.ndarray:
        """(K,) Dice score per class; NaN for a class neither in the truth nor in the prediction."""
        counts = Counts(self.confusion)
        return self._each(counts.dice(), counts.union)


@keras.saving.register_keras_serializable("keras_seg")
class PixelAccuracy(_OneScore):
    """Pixel accuracy: share of the counted pixels that are predicted correctly.

    The SegNet paper calls it global accuracy. With `multi_label` it is the share of all labels of
    all pixels, as `keras.metrics.BinaryAccuracy`.

    Args:
        num_classes, ignore_class, from_logits, multi_label, threshold: see `ConfusionMetric`.
        name: name in logs.
        dtype: type of the result; None for Keras' default.

    Example:
        >>> metric = keras_seg.metrics.PixelAccuracy(2)
        >>> masks = np.array([[[0, 1], [1, 255]]])  # (batch, height, width); 255 is ignored
        >>> metric.update_state(masks, np.array([[[0, 1], [0, 0]]]))
        >>> round(float(metric.result()), 4)
        0.6667
    """

    score = "pixel_accuracy"


@keras.saving.register_keras_serializable("keras_seg")
class MeanClassAccuracy(_OneScore):
    """Mean class accuracy: share of correct pixels (recall), averaged over the true classes.

    The SegNet paper calls it class average.

    Args:
        num_classes, ignore_class, from_logits, multi_label, threshold: see `ConfusionMetric`.
        name: name in logs.
        dtype: type of the result; None for Keras' default.

    Example:
        >>> metric = keras_seg.metrics.MeanClassAccuracy(2)
        >>> masks = np.array([[[0, 1], [1, 255]]])  # (batch, height, width); 255 is ignored
        >>> metric.update_state(masks, np.array([[[0, 1], [0, 0]]]))
        >>> float(metric.result())
        0.75
    """

    score = "mean_class_accuracy"

    def per_class(self) -> np.ndarray:
        """(K,) accuracy (recall) per class; NaN for a class that is not in the truth."""
        counts = Counts(self.confusion)
        return self._each(counts.accuracy(), counts.truth)


@keras.saving.register_keras_serializable("keras_seg")
class FrequencyWeightedIoU(_OneScore):
    """Frequency-weighted IoU: IoU averaged over classes, weighted by their share of the truth.

    Args:
        num_classes, ignore_class, from_logits, multi_label, threshold: see `ConfusionMetric`.
        name: name in logs.
        dtype: type of the result; None for Keras' default.

    Example:
        >>> metric = keras_seg.metrics.FrequencyWeightedIoU(2)
        >>> masks = np.array([[[0, 1], [1, 255]]])  # (batch, height, width); 255 is ignored
        >>> metric.update_state(masks, np.array([[[0, 1], [0, 0]]]))
        >>> float(metric.result())
        0.5
    """

    score = "frequency_weighted_iou"


@keras.saving.register_keras_serializable("keras_seg")
class ClassIoU(ConfusionMetric):
    """IoU of one class.

    Args:
        class_id: the class.
        num_classes, ignore_class, from_logits, multi_label, threshold: see `ConfusionMetric`.
        name: name in logs; None for "iou_" and the class.
        dtype: type of the result; None for Keras' default.

    Raises: ValueError if `class_id` is not one of the classes.

    Example:
        >>> metric = keras_seg.metrics.ClassIoU(2, class_id=1)
        >>> masks = np.array([[[0, 1], [1, 255]]])  # (batch, height, width); 255 is ignored
        >>> metric.update_state(masks, np.array([[[0, 1], [0, 0]]]))
        >>> float(metric.result())
        0.5
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
        dtype: Any = None,
    ) -> None:
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

    def result(self) -> Any:
        """The IoU so far; 0 if the class occurred nowhere."""
        return self.unless_invalid(Counts(self.confusion).iou()[self.class_id])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {"class_id": self.class_id}


@keras.saving.register_keras_serializable("keras_seg")
class SegmentationMetrics(ConfusionMetric):
    """Many scores from one confusion matrix, each an entry in the logs of `fit`.

    `metrics=[SegmentationMetrics(3, class_names=["sky", "road", "car"])]` logs mean_iou, mean_dice,
    pixel_accuracy, mean_class_accuracy, frequency_weighted_iou, iou_sky, iou_road and iou_car. The
    IoU of a class that occurred nowhere is NaN.

    Args:
        num_classes, ignore_class, from_logits, multi_label, threshold: see `ConfusionMetric`.
        scores: names of the scores; all by default.
        class_names: adds the IoU of each class, in this order; None for none.
        prefix: text before each name, for a model with several outputs.
        name: name of the metric.
        dtype: type of the results; None for Keras' default.

    Raises: ValueError for an unknown score, or for class names that do not fit.

    Example:
        >>> metric = keras_seg.metrics.SegmentationMetrics(2, scores=["mean_iou", "mean_dice"])
        >>> masks = np.array([[[0, 1], [1, 255]]])  # (batch, height, width); 255 is ignored
        >>> metric.update_state(masks, np.array([[[0, 1], [0, 0]]]))
        >>> {name: round(float(score), 4) for name, score in metric.result().items()}
        {'mean_iou': 0.5, 'mean_dice': 0.6667}
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
        dtype: Any = None,
    ) -> None:
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
                f"class_names has a name twice, but the logs have one entry per name: {class_names}"
            )
        if class_names is not None and len(class_names) != self.num_classes:
            raise ValueError(
                f"{len(class_names)} class_names for {self.num_classes} classes: {class_names}"
            )
        self.scores, self.prefix = tuple(scores), prefix
        self.class_names = None if class_names is None else tuple(class_names)

    def result(self) -> dict[str, Any]:
        """Name in the logs → score so far."""
        counts = Counts(self.confusion)
        values = [SCORES[score](counts) for score in self.scores]
        if self.class_names is not None:
            iou = ops.where(counts.union > 0, counts.iou(), float("nan"))
            values += [iou[number] for number in range(len(self.class_names))]
        return dict(zip(self.logged_names(), map(self.unless_invalid, values), strict=True))

    def logged_names(self) -> list[str]:
        """Names of all scores in the logs of `fit`, with the prefix."""
        names = [*self.scores, *(f"iou_{name}" for name in self.class_names or ())]
        return [self.prefix + name for name in names]

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {
            "scores": self.scores,
            "class_names": self.class_names,
            "prefix": self.prefix,
        }
