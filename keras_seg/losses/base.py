"""What every loss on masks shares: labels, scores, ignored pixels, weights, sums over replicas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

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

    def mean_of_regions(self, values, pixels: Pixels):
        """Reduces `values` (B,) of images, or () of the batch (equal on all replicas).

        A region weighs as much as its counted pixels do on average, and nothing without any.
        """
        axes = tuple(range(len(values.shape), len(pixels.counted.shape)))
        number, weight = ops.sum(pixels.counted, axes), ops.sum(pixels.weight, axes)
        if not values.shape:
            number, weight = sum_over_replicas(number), sum_over_replicas(weight)
        weight = ops.divide_no_nan(weight, number)
        loss = self.mean(values, weight, ops.sign(number))
        # The mean has divided by the number of replicas already.
        return share_of_replica(loss) if self.reduction == "sum" and not values.shape else loss

    def get_config(self):
        return super().get_config() | {
            "from_logits": self.from_logits,
            "ignore_class": self.ignore_class,
        }


def read_pixels(y_true, y_pred, sample_weight, from_logits, ignore_class, name) -> Pixels:
    """Labels, scores and weights of any accepted form (`SegmentationLoss`) as `Pixels`."""
    logits = two_or_more_classes(y_pred, from_logits)
    y_true = ops.convert_to_tensor(y_true)
    num_classes = logits.shape[-1]
    truth = None
    if len(y_true.shape) == len(logits.shape):
        if y_true.shape[-1] == num_classes:
            truth = ops.cast(y_true, "float32")
        elif y_true.shape[-1] == 1:
            y_true = ops.squeeze(y_true, -1)
    _check_shapes(y_true, truth, y_pred, name)
    if truth is None:
        ids = ops.cast(y_true, "int32")
        counted = ops.ones_like(ids, dtype="bool")
    else:
        ids = ops.cast(ops.argmax(truth, axis=-1), "int32")
        counted = ops.sum(truth, -1) > 0
    if ignore_class is not None:
        counted = counted & (ids != ignore_class)
    if sample_weight is None:
        weight = ops.ones_like(ids, dtype="float32")
    else:
        weight = _pixel_weights(sample_weight, ids)
        counted = counted & (weight != 0)
    known = (ids >= 0) & (ids < num_classes)
    # No Python error can be raised from inside a compiled step; NaN is what training stops at.
    weight = ops.where(known, weight, float("nan"))
    logits = ops.where(counted[..., None], logits, 0.0)
    counted_float = ops.cast(counted, "float32")
    if truth is not None:
        truth = ops.where(counted[..., None], truth, 0.0)
    return Pixels(
        logits,
        ops.where(counted, ids, 0),
        truth,
        counted_float,
        ops.where(counted, weight, 0.0),
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


def _pixel_weights(sample_weight, ids):
    """float32 weights of the shape of `ids`, from one number, or weights an image or a pixel."""
    weight = ops.cast(ops.convert_to_tensor(sample_weight), "float32")
    rank = len(ids.shape)
    if len(weight.shape) == rank + 1 and weight.shape[-1] == 1:
        weight = ops.squeeze(weight, -1)
    if len(weight.shape) > rank:
        raise ValueError(
            f"Weights of shape {tuple(weight.shape)} do not belong to labels of shape "
            f"{tuple(ids.shape)}. Give one number an image (B,) or a pixel (B, H, W)."
        )
    # (B,) must not be broadcast along the width.
    weight = ops.reshape(weight, (*ops.shape(weight), *(1,) * (rank - len(weight.shape))))
    return weight * ops.ones_like(ids, dtype="float32")


def _check_shapes(y_true, truth, y_pred, name):
    labels = tuple(y_true.shape) if truth is None else tuple(y_true.shape[:-1])
    scores = tuple(y_pred.shape[:-1])
    if len(labels) == len(scores) and all(
        None in pair or pair[0] == pair[1] for pair in zip(labels, scores, strict=True)
    ):
        return
    raise ValueError(
        f"{name}: labels of shape {tuple(y_true.shape)} do not belong to scores of shape "
        f"{tuple(y_pred.shape)}. Give integer masks of the height and width of the scores, or "
        "one-hot labels with as many classes."
    )
