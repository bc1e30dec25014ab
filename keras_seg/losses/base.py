"""What every loss on masks shares: labels, scores, ignored pixels, weights, sums over replicas."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_seg.arguments import flag, whole_number
from keras_seg.losses.class_weights import ClassWeights, class_weights_of
from keras_seg.losses.replicas import share_of_replica, sum_over_replicas
from keras_seg.losses.weighted_sum import LossArithmetic
from keras_seg.masks.labels import (
    NEGATIVE_NOISE,
    pixel_weights,
    read_labels,
    read_multi_label,
    share_tolerance,
)
from keras_seg.names import IGNORE_CLASS

REDUCTIONS = ("sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None)


class Pixels(NamedTuple):
    """A batch as losses see it; B images of P = (height, width) or any other pixel axes.

    One class per pixel:

    logits: (B, *P, C) float32, C at least 2; 0 where not counted.
    ids: (B, *P) int32 class of each pixel; 0 where not counted.
    truth: (B, *P, C) float32 one-hot or soft labels if they were given so, otherwise None.
    counted: (B, *P) float32, 1 for pixels that count.
    weight: (B, *P) float32, `counted` times the sample weights; NaN for what is no label.

    With `multi_label` all but `ids`, which is None, are (B, *P, C): logits of each label, its
    probability in the mask, whether it counts, and its weight.
    """

    logits: Any
    ids: Any
    truth: Any
    counted: Any
    weight: Any
    multi_label: bool = False

    def one_hot(self):
        """(B, *P, C) float32 truth; not yet 0 where not counted."""
        if self.truth is not None:
            return self.truth
        return ops.one_hot(self.ids, self.logits.shape[-1], dtype="float32")

    def probabilities(self):
        """(B, *P, C) float32 of each class or label."""
        return ops.sigmoid(self.logits) if self.multi_label else ops.softmax(self.logits)

    def weight_of_channels(self):
        """The weights with an axis for channels: (B, *P, 1), with `multi_label` (B, *P, C)."""
        return self.weight if self.multi_label else self.weight[..., None]


class SegmentationLoss(LossArithmetic, keras.losses.Loss):
    """Base of the losses; a subclass turns `Pixels` into a value with `loss_of`.

    Labels (B, H, W), (B, H, W, 1), one-hot or soft (B, H, W, C); scores (B, H, W, C), or
    (B, H, W, 1) of the second of two classes. Computes in float32. A pixel of `ignore_class`, a
    one-hot label of zeros and a pixel of weight 0 have no influence and no gradient, whatever their
    scores.

    What is no label makes the loss NaN: a class outside of the scores', a fraction, NaN, shares
    that are negative or do not sum to 1 (half a step of 1/255 per class is rounding). So do scores
    outside of 0..1 with `from_logits=False`. For scores of one channel, labels of a float type are
    probabilities of class 1, and 0.3 is a soft label. Losses that take hard labels alone say so:
    soft ones make them NaN.

    With `multi_label` each channel is a label of its own, with a sigmoid: labels (B, H, W, C) of 0
    and 1, or a probability between them. `ignore_class` in a channel leaves that label out there,
    and zeros are the absence of every label.

    Under `tf.distribute`, with replicas of equal batches, all replicas together give the value and
    gradient of one device with the whole batch; a subclass says where that cannot be.

    Losses add up: `CrossEntropy() + 0.5 * Dice()`.

    Args:
        from_logits: whether scores are logits, or probabilities that sum to 1 (with `multi_label`,
            each for itself).
        ignore_class: mask value that does not count; None for none.
        reduction: "sum_over_batch_size" or "mean" (over what counts; weights do not change the
            divisor), "mean_with_sample_weight" (divides by the sum of all weights, as PyTorch
            does), "sum", or None for a value a pixel (or image).
        multi_label: whether each channel is a label of its own.

    Raises: ValueError if the shapes of labels and scores do not belong together.
    """

    takes_soft_labels = True
    class_weights: tuple[float, ...] | None = None
    _class_weights: ClassWeights | None = None

    def __init__(
        self,
        *,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        multi_label: bool = False,
        name: str | None = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype="float32")
        self.from_logits = flag(from_logits, "from_logits")
        self.multi_label = flag(multi_label, "multi_label")
        self.ignore_class = (
            None if ignore_class is None else whole_number(ignore_class, "ignore_class")
        )
        if self.multi_label and self.ignore_class in (0, 1):
            raise ValueError(
                f"ignore_class={ignore_class} is a label with multi_label=True, where 0 and 1 say "
                "whether a label is there. Take another value, such as 255."
            )

    def loss_of(self, pixels: Pixels):
        """The reduced loss of a batch."""
        raise NotImplementedError

    def __call__(self, y_true, y_pred, sample_weight=None):
        with keras.name_scope(self.name):
            return self.loss_of(read_pixels(y_true, y_pred, sample_weight, self))

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

    def _take_class_weights(self, class_weights) -> None:
        self._class_weights = class_weights_of(class_weights)
        self.class_weights = None if self._class_weights is None else self._class_weights.numbers

    def _class_weights_config(self):
        return None if self._class_weights is None else self._class_weights.config()

    def weighted_by_class(self, pixels: Pixels):
        """The weights of `Pixels` times the class weights; of soft labels their mean by share.

        Raises: ValueError if there are other classes than class weights.
        """
        if self._class_weights is None:
            return pixels.weight
        numbers = self._class_weights.for_classes(pixels.logits.shape[-1])
        table = ops.convert_to_tensor(numbers, dtype="float32")
        if pixels.multi_label:
            return pixels.weight * table
        if pixels.truth is not None:
            return pixels.weight * ops.sum(pixels.truth * table, -1)
        return pixels.weight * ops.take(table, pixels.ids)

    def get_config(self):
        return super().get_config() | {
            "from_logits": self.from_logits,
            "ignore_class": self.ignore_class,
            "multi_label": self.multi_label,
        }


def read_pixels(y_true, y_pred, sample_weight, loss: SegmentationLoss) -> Pixels:
    """Labels, scores and weights of any form that a loss accepts as `Pixels`."""
    scores = ops.cast(y_pred, "float32")
    channels = scores.shape[-1]
    if channels is None:
        raise ValueError(f"Scores need a known number of channels. Received shape: {scores.shape}")
    if loss.multi_label:
        ids, truth, counted, known = read_multi_label(
            y_true, scores.shape, loss.ignore_class, loss.name
        )
        weight = pixel_weights(sample_weight, truth[..., 0])[..., None]
    else:
        shape = (*scores.shape[:-1], max(channels, 2))
        ids, truth, counted, known = read_labels(
            y_true, shape, loss.ignore_class, loss.name, one_channel=channels == 1
        )
        if truth is not None and not loss.takes_soft_labels:
            known = known & _is_hard(truth)
        weight = pixel_weights(sample_weight, ids)
    if truth is not None and loss.multi_label and not loss.takes_soft_labels:
        known = known & ((truth == 0) | (truth == 1))
    counted = counted & (weight != 0)
    # No Python error can be raised from inside a compiled step; NaN is what training stops at.
    weight = ops.where(known, weight, float("nan"))
    has_channels = counted if loss.multi_label else counted[..., None]
    usable = counted & known
    return Pixels(
        logits=_logits(scores, has_channels, loss),
        ids=None if ids is None else ops.where(usable, ids, 0),
        truth=None
        if truth is None
        else ops.where(usable if loss.multi_label else usable[..., None], truth, 0.0),
        counted=ops.cast(counted, "float32"),
        weight=ops.where(counted, weight, 0.0),
        multi_label=loss.multi_label,
    )


def _is_hard(truth):
    """(B, *P) whether one class has the whole share of a pixel, but for its rounding."""
    return ops.max(truth, axis=-1) >= 1 - share_tolerance(truth.shape[-1])


def _logits(scores, counted, loss: SegmentationLoss):
    """float32 logits of labels or of at least two classes; 0 where nothing is `counted`.

    One channel z of a binary network becomes the two classes 0 and z.
    """
    if loss.from_logits:
        if not loss.multi_label and scores.shape[-1] == 1:
            scores = ops.concatenate([ops.zeros_like(scores), scores], axis=-1)
        return ops.where(counted, scores, 0.0)
    # before the logarithm, whose slope at NaN is NaN even where the value is not used
    scores = ops.where(counted, scores, 0.5)
    possible = (scores >= -NEGATIVE_NOISE) & (scores <= 1 + NEGATIVE_NOISE)
    least = keras.config.epsilon()
    if loss.multi_label:
        share = ops.clip(scores, least, 1 - least)
        logits = ops.log(share) - ops.log1p(-share)
    else:
        if scores.shape[-1] == 1:
            scores = ops.concatenate([1 - scores, scores], axis=-1)
        logits = ops.log(ops.clip(scores, least, 1.0))
    return ops.where(counted, ops.where(possible, logits, float("nan")), 0.0)
