"""What every loss on masks shares: labels, scores, ignored pixels, weights, sums over replicas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_seg.arguments import flag, whole_number
from keras_seg.losses.class_weights import ClassWeights, class_weights_of
from keras_seg.losses.replicas import share_of_replica, sum_over_replicas
from keras_seg.losses.spec import OPTIONS_ELSEWHERE
from keras_seg.losses.weighted_sum import LossArithmetic
from keras_seg.masks.labels import (
    NEGATIVE_NOISE,
    pixel_weights,
    read_labels,
    read_multi_label,
    share_tolerance,
)
from keras_seg.names import IGNORE_CLASS
from keras_seg.names_elsewhere import KnownOptions


class Pixels(NamedTuple):
    """A batch in the form that losses compute with.

    B is the number of images, *P the pixel axes (height, width or others), C the number of classes,
    at least 2. With `multi_label` all tensors have the shape (B, *P, C), one value per label.

    Attributes:
        logits: (B, *P, C) float32; 0 where a pixel does not count.
        ids: (B, *P) int32 class per pixel; 0 where it does not count. None with `multi_label`.
        truth: (B, *P, C) float32 one-hot or soft labels, if they were given as such, else None.
            With `multi_label` the probability of each label in the mask.
        counted: (B, *P) float32, 1 for pixels that count.
        weight: (B, *P) float32, `counted` times the sample weights; NaN for invalid labels.
        multi_label: whether each channel is an independent label.
    """

    logits: Any
    ids: Any
    truth: Any
    counted: Any
    weight: Any
    multi_label: bool = False

    def one_hot(self) -> Any:
        """(B, *P, C) float32 truth; pixels that do not count are not 0 yet."""
        if self.truth is not None:
            return self.truth
        return ops.one_hot(self.ids, self.logits.shape[-1], dtype="float32")

    def probabilities(self) -> Any:
        """(B, *P, C) float32 probability per class or label."""
        return ops.sigmoid(self.logits) if self.multi_label else ops.softmax(self.logits)

    def weight_of_channels(self) -> Any:
        """The weights with a channel axis: (B, *P, 1), with `multi_label` (B, *P, C)."""
        return self.weight if self.multi_label else self.weight[..., None]


class SegmentationLoss(LossArithmetic, KnownOptions, keras.losses.Loss):
    """Base of the losses. A subclass computes the loss of `Pixels` in `loss_of`.

    Shapes: labels (B, H, W), (B, H, W, 1), one-hot or soft (B, H, W, C); scores (B, H, W, C), or
    (B, H, W, 1) for the second of two classes. The loss computes in float32. A pixel of
    `ignore_class`, a one-hot label of zeros and a pixel of weight 0 have no influence and no
    gradient, whatever their scores.

    An invalid label makes the loss NaN: a class that the scores do not have, a fraction, NaN, or
    shares that are negative or do not sum to 1 (within half a step of 1/255 per class, for
    rounding). So do scores outside of 0..1 with `from_logits=False`. For scores of one channel,
    labels of a float type are probabilities of class 1: 0.3 is a soft label. Some losses accept
    only hard labels and say so; soft labels make them NaN.

    With `multi_label` each channel is an independent label with a sigmoid. Labels (B, H, W, C) are
    0, 1, or a probability between. `ignore_class` in a channel ignores that label of that pixel;
    zeros mean that every label is absent.

    Under `tf.distribute`, with replicas of equal batches, all replicas together give the value and
    gradient of one device with the whole batch. A subclass documents its exceptions.

    Losses can be added: `CrossEntropy() + 0.5 * Dice()`.

    Args:
        from_logits: whether scores are logits; otherwise probabilities that sum to 1 (with
            `multi_label`, one probability per label).
        ignore_class: mask value that does not count; None for none.
        reduction: "sum_over_batch_size" or "mean": the mean over what counts, where weights do not
            change the divisor. "mean_with_sample_weight": divides by the sum of all weights, as
            PyTorch does. "sum". None: one value per pixel (or image).
        multi_label: whether each channel is an independent label.
        name: name of the loss; None for the name in recipes.

    Raises: ValueError if the shapes of labels and scores do not match.

    Example:
        >>> class BrierScore(keras_seg.losses.SegmentationLoss):
        ...     def loss_of(self, pixels):
        ...         errors = keras.ops.square(pixels.probabilities() - pixels.one_hot())
        ...         return self.mean(keras.ops.sum(errors, -1), pixels.weight, pixels.counted)
        >>> masks, logits = np.zeros((1, 2, 2), "uint8"), np.zeros((1, 2, 2, 2), "float32")
        >>> float(BrierScore()(masks, logits))
        0.5
    """

    default_name: str | None = None
    """Name of the loss in recipes, logs and saved models."""
    takes_soft_labels = True
    class_weights: tuple[float, ...] | None = None
    _class_weights: ClassWeights | None = None
    options_elsewhere = OPTIONS_ELSEWHERE

    def __init__(
        self,
        *,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        multi_label: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name or self.default_name, reduction=reduction, dtype="float32")
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

    def loss_of(self, pixels: Pixels) -> Any:
        """The reduced loss of a batch."""
        raise NotImplementedError

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        with keras.name_scope(self.name):
            return self.loss_of(read_pixels(y_true, y_pred, sample_weight, self))

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss without sample weights."""
        return self(y_true, y_pred)

    def mean(self, values: Any, weight: Any, counted: Any) -> Any:
        """Reduces `values` (B, ...), which have the shape of `weight` and `counted`."""
        values = ops.where(counted > 0, values * weight, 0.0)
        if self.reduction in (None, "none"):
            return values
        total = ops.sum(values)
        if self.reduction == "sum":
            return total
        divisor = weight if self.reduction == "mean_with_sample_weight" else counted
        return ops.divide_no_nan(total, sum_over_replicas(ops.sum(divisor)))

    def mean_of_regions(self, values: Any, pixels: Pixels, region: str) -> Any:
        """Reduces one value per region.

        The weight of a region is the mean weight of its counted pixels, and 0 without any.

        Args:
            values: (B,) for region "image", () for "replica", or for "batch" with all replicas.
        """
        axes = tuple(range(1 if region == "image" else 0, len(pixels.counted.shape)))
        number, weight = ops.sum(pixels.counted, axes), ops.sum(pixels.weight, axes)
        if region == "batch":
            number, weight = sum_over_replicas(number), sum_over_replicas(weight)
        loss = self.mean(values, ops.divide_no_nan(weight, number), ops.sign(number))
        # Each replica has the sum over the whole batch. A mean is already divided by their number.
        is_batch_sum = region == "batch" and self.reduction == "sum"
        return share_of_replica(loss) if is_batch_sum else loss

    def set_class_weights(
        self, class_weights: Mapping[int, float] | Sequence[float] | None
    ) -> None:
        """Checks and stores the `class_weights` of a constructor."""
        self._class_weights = class_weights_of(class_weights)
        self.class_weights = None if self._class_weights is None else self._class_weights.numbers

    def class_weights_config(self) -> dict[str, float] | tuple[float, ...] | None:
        """The class weights for `get_config`."""
        return None if self._class_weights is None else self._class_weights.config()

    def weighted_by_class(self, pixels: Pixels) -> Any:
        """The weights of `Pixels` times the class weights; for soft labels their mean by share.

        Raises: ValueError if the number of class weights does not match the scores.
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

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {
            "from_logits": self.from_logits,
            "ignore_class": self.ignore_class,
            "multi_label": self.multi_label,
        }


def read_pixels(y_true: Any, y_pred: Any, sample_weight: Any, loss: SegmentationLoss) -> Pixels:
    """Labels, scores and weights, in any form that a loss accepts, as `Pixels`."""
    scores = ops.cast(y_pred, "float32")
    channels = scores.shape[-1]
    if channels is None:
        raise ValueError(f"Scores need a known number of channels. Received shape: {scores.shape}")
    if loss.multi_label:
        ids, truth, counted, known = read_multi_label(
            y_true, scores.shape, loss.ignore_class, loss.name
        )
        weight = pixel_weights(sample_weight, truth[..., 0])[..., None]
        if not loss.takes_soft_labels:
            known = known & ((truth == 0) | (truth == 1))
    else:
        shape = (*scores.shape[:-1], max(channels, 2))
        ids, truth, counted, known = read_labels(
            y_true, shape, loss.ignore_class, loss.name, one_channel=channels == 1
        )
        weight = pixel_weights(sample_weight, ids)
        if truth is not None and not loss.takes_soft_labels:
            known = known & _is_hard(truth)
    counted = counted & (weight != 0)
    # A compiled step cannot raise a Python error. NaN stops the training.
    weight = ops.where(known, weight, float("nan"))
    has_channels = counted if loss.multi_label else counted[..., None]
    usable = counted & known
    usable_channels = usable if loss.multi_label else usable[..., None]
    return Pixels(
        logits=_logits(scores, has_channels, loss),
        ids=None if ids is None else ops.where(usable, ids, 0),
        truth=None if truth is None else ops.where(usable_channels, truth, 0.0),
        counted=ops.cast(counted, "float32"),
        weight=ops.where(counted, weight, 0.0),
        multi_label=loss.multi_label,
    )


def _is_hard(truth: Any) -> Any:
    """(B, *P) whether one class has the whole share of a pixel, up to rounding."""
    return ops.max(truth, axis=-1) >= 1 - share_tolerance(truth.shape[-1])


def _logits(scores: Any, counted: Any, loss: SegmentationLoss) -> Any:
    """float32 logits of labels, or of at least two classes; 0 where a pixel does not count.

    One channel z of a binary network becomes the two classes 0 and z.
    """
    if loss.from_logits:
        if not loss.multi_label and scores.shape[-1] == 1:
            scores = ops.concatenate([ops.zeros_like(scores), scores], axis=-1)
        return ops.where(counted, scores, 0.0)
    # before the logarithm: its gradient at NaN is NaN even where the value is not used
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
