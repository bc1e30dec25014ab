"""What every loss on masks shares: labels, scores, ignored pixels, weights, sums over replicas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_seg.labels import pixel_weights, read_labels
from keras_seg.losses.replicas import share_of_replica, sum_over_replicas
from keras_seg.names import IGNORE_CLASS

REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None)


class Pixels(NamedTuple):
    """A batch as losses see it; B images of P = (height, width) or any other pixel axes.

    logits: (B, *P, C) float32, C at least 2; 0 where not counted.
    ids: (B, *P) int32 class of each pixel; 0 where not counted.
    truth: (B, *P, C) float32 one-hot or soft labels if they were given so, otherwise None.
    counted: (B, *P) float32, 1 for pixels that count.
    weight: (B, *P) float32, `counted` times the sample weights.
    """

    logits: Any
    ids: Any
    truth: Any
    counted: Any
    weight: Any

    def one_hot(self):
        """(B, *P, C) float32 truth; not yet 0 where not counted."""
        if self.truth is not None:
            return self.truth
        return ops.one_hot(self.ids, self.logits.shape[-1], dtype="float32")


class SegmentationLoss(keras.losses.Loss):
    """Base of the losses; a subclass turns `Pixels` into a value with `loss_of`.

    Labels (B, H, W), (B, H, W, 1) or one-hot (B, H, W, C); scores (B, H, W, C), or (B, H, W, 1) of
    the second of two classes. Computes in float32. A pixel of `ignore_class`, a one-hot label of
    zeros and a pixel of weight 0 have no influence and no gradient, whatever their scores. A label
    outside the classes makes the loss NaN (cross-entropy on a CPU raises an error in place of it).

    Under `tf.distribute`, with replicas of equal batches, all replicas together give the value and
    gradient of one device with the whole batch; a subclass says where that cannot be.

    Args:
        from_logits: whether scores are logits, or probabilities that sum to 1.
        ignore_class: mask value that does not count; None for none.
        reduction: "sum_over_batch_size" or "mean" (over what counts; weights do not change the
            divisor), "mean_with_sample_weight" (divides by the sum of all weights, as PyTorch
            does), "sum", or None for a value a pixel (or image).

    Raises: ValueError if the shapes of labels and scores do not belong together.
    """

    def __init__(
        self,
        *,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        self.from_logits, self.ignore_class = from_logits, ignore_class

    def loss_of(self, pixels: Pixels):
        """The reduced loss of a batch."""
        raise NotImplementedError

    def __call__(self, y_true, y_pred, sample_weight=None):
        with keras.name_scope(self.name):
            pixels = read_pixels(
                y_true, y_pred, sample_weight, self.from_logits, self.ignore_class, self.name
            )
            return self.loss_of(pixels)

    def call(self, y_true, y_pred):
        return self(y_true, y_pred)

    def mean(self, values, weight, counted):
        """Reduces `values` (B, ...) of the same shape as `weight` and `counted`."""
        values = ops.where(counted > 0, values * weight, 0.0)
        if self.reduction in (None, "none"):
            return values
        total = ops.sum(values)
        if self.reduction == "sum":
            return total
        divisor = weight if self.reduction == "mean_with_sample_weight" else counted
        return ops.divide_no_nan(total, sum_over_replicas(ops.sum(divisor)))

    def mean_of_regions(self, values, pixels: Pixels, region: str):
        """Reduces one value a `region`: "image" (B,), "replica" () or, of all replicas, "batch" ().

        A region weighs as much as its counted pixels do on average, and nothing without any.
        """
        axes = tuple(range(1 if region == "image" else 0, len(pixels.counted.shape)))
        number, weight = ops.sum(pixels.counted, axes), ops.sum(pixels.weight, axes)
        if region == "batch":
            number, weight = sum_over_replicas(number), sum_over_replicas(weight)
        loss = self.mean(values, ops.divide_no_nan(weight, number), ops.sign(number))
        # Each replica has the sum of the whole batch; a mean has divided by their number already.
        whole = region == "batch" and self.reduction == "sum"
        return share_of_replica(loss) if whole else loss

    def get_config(self):
        return super().get_config() | {
            "from_logits": self.from_logits,
            "ignore_class": self.ignore_class,
        }


def read_pixels(y_true, y_pred, sample_weight, from_logits, ignore_class, name) -> Pixels:
    """Labels, scores and weights of any accepted form (`SegmentationLoss`) as `Pixels`."""
    logits = two_or_more_classes(y_pred, from_logits)
    num_classes = logits.shape[-1]
    ids, truth, counted = read_labels(y_true, logits.shape, ignore_class, name)
    weight = pixel_weights(sample_weight, ids)
    counted = counted & (weight != 0)
    known = (ids >= 0) & (ids < num_classes)
    # No Python error can be raised from inside a compiled step; NaN is what training stops at.
    weight = ops.where(known, weight, float("nan"))
    return Pixels(
        logits=ops.where(counted[..., None], logits, 0.0),
        ids=ops.where(counted, ids, 0),
        truth=None if truth is None else ops.where(counted[..., None], truth, 0.0),
        counted=ops.cast(counted, "float32"),
        weight=ops.where(counted, weight, 0.0),
    )


def two_or_more_classes(y_pred, from_logits: bool):
    """float32 logits of at least two classes: one channel z becomes the two classes 0 and z."""
    scores = ops.cast(y_pred, "float32")
    if scores.shape[-1] is None:
        raise ValueError(f"Scores need a known number of channels. Received shape: {scores.shape}")
    if scores.shape[-1] == 1:
        background = ops.zeros_like(scores) if from_logits else 1 - scores
        scores = ops.concatenate([background, scores], axis=-1)
    if from_logits:
        return scores
    return ops.log(ops.clip(scores, keras.config.epsilon(), 1.0))


def check_class_weights(class_weights: Sequence[float] | None) -> tuple[float, ...] | None:
    """As floats; ValueError for weights that are negative or all 0."""
    if class_weights is None:
        return None
    weights = tuple(float(weight) for weight in class_weights)
    if not weights or min(weights) < 0 or max(weights) <= 0:
        raise ValueError(
            f"class_weights must be one number a class, none below 0. Received: {class_weights}"
        )
    return weights


def weights_of_classes(class_weights: tuple[float, ...], pixels: Pixels):
    """(B, *P) class weight of each pixel; of soft labels the mean by their share."""
    num_classes = pixels.logits.shape[-1]
    if len(class_weights) != num_classes:
        raise ValueError(
            f"class_weights has {len(class_weights)} numbers for scores of {num_classes} classes. "
            "Give one number a class (two for a network with one output channel)."
        )
    table = ops.convert_to_tensor(class_weights, dtype="float32")
    if pixels.truth is not None:
        return ops.sum(pixels.truth * table, -1)
    return ops.take(table, pixels.ids)
