"""Lovász extensions of the Jaccard loss, for softmax and for hinge.

Source: Berman et al., arXiv:1705.08790.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from keras_seg.arguments import flag
from keras_seg.losses.base import Pixels, SegmentationLoss
from keras_seg.losses.classes import check_classes, chosen_classes
from keras_seg.names import IGNORE_CLASS


@keras.saving.register_keras_serializable("keras_seg")
class LovaszSoftmax(SegmentationLoss):
    """Jaccard loss extended to errors |t - p| of each class, a mean over classes.

    Takes hard labels alone, and one class per pixel: for `multi_label` take `LovaszHinge`.

    Weights of pixels are their share of intersection and union, and their mean multiplies the
    loss. Without `per_image` the pixels of a batch are sorted together: each replica of
    `tf.distribute` then sorts its own, and the loss is the mean of theirs.

    Args:
        per_image: a value an image, averaged, instead of one for the batch.
        classes: "present" (in the truth), "all", or a list of class numbers.
    """

    takes_soft_labels = False

    def __init__(
        self,
        *,
        per_image: bool = False,
        classes: str | Sequence[int] = "present",
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        multi_label: bool = False,
        name: str = "lovasz_softmax",
    ):
        super().__init__(
            from_logits=from_logits,
            ignore_class=ignore_class,
            reduction=reduction,
            multi_label=multi_label,
            name=name,
        )
        if self.multi_label:
            raise ValueError(
                "lovasz_softmax has no multi_label: its softmax makes the classes exclude each "
                "other. Take lovasz_hinge, which has it."
            )
        self.per_image = flag(per_image, "per_image")
        self.classes = check_classes(classes)

    def loss_of(self, pixels: Pixels):
        truth = ops.one_hot(pixels.ids, pixels.logits.shape[-1], dtype="float32")
        errors = ops.abs(truth - ops.softmax(pixels.logits))
        errors, truth = (_classes_first(x, self.per_image) for x in (errors, truth))
        weight = _regions(pixels.weight, self.per_image)[:, None, :]
        per_class = lovasz_jaccard(errors, truth, weight)
        chosen = chosen_classes(self.classes, ops.sum(truth * weight, -1))
        values = ops.divide_no_nan(ops.sum(per_class * chosen, -1), ops.sum(chosen, -1))
        return mean_of_sorted(self, values, pixels)

    def get_config(self):
        return super().get_config() | {"per_image": self.per_image, "classes": self.classes}


@keras.saving.register_keras_serializable("keras_seg")
class LovaszHinge(SegmentationLoss):
    """Jaccard loss of the foreground extended to hinge errors 1 - z (2 t - 1), two classes only.

    z is the logit of the foreground (of two channels, their difference). Weights, images and
    replicas as for `LovaszSoftmax`. With `multi_label` each label of each image (or of the batch)
    has a value of its own, and the loss is their mean. Takes hard labels alone.

    Args:
        per_image: a value an image, averaged, instead of one for the batch.
    """

    takes_soft_labels = False

    def __init__(
        self,
        *,
        per_image: bool = True,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        multi_label: bool = False,
        name: str = "lovasz_hinge",
    ):
        super().__init__(
            from_logits=from_logits,
            ignore_class=ignore_class,
            reduction=reduction,
            multi_label=multi_label,
            name=name,
        )
        self.per_image = flag(per_image, "per_image")

    def loss_of(self, pixels: Pixels):
        if pixels.multi_label:
            return self._mean_of_labels(pixels)
        num_classes = pixels.logits.shape[-1]
        if num_classes != 2:
            raise ValueError(
                f"lovasz_hinge is for one output channel or two; the scores have {num_classes}. "
                "Take lovasz_softmax, or multi_label=True if each channel is a label of its own."
            )
        truth = ops.cast(pixels.ids, "float32")
        z = pixels.logits[..., 1] - pixels.logits[..., 0]
        errors = ops.relu(1 - z * (2 * truth - 1))
        values = lovasz_jaccard(
            _regions(errors, self.per_image),
            _regions(truth, self.per_image),
            _regions(pixels.weight, self.per_image),
        )
        return mean_of_sorted(self, values, pixels)

    def _mean_of_labels(self, pixels: Pixels):
        errors = ops.relu(1 - pixels.logits * (2 * pixels.truth - 1))
        errors, truth, weight, counted = (
            _classes_first(each, self.per_image)
            for each in (errors, pixels.truth, pixels.weight, pixels.counted)
        )
        number = ops.sum(counted, -1)
        mean_weight = ops.divide_no_nan(ops.sum(weight, -1), number)
        return self.mean(lovasz_jaccard(errors, truth, weight), mean_weight, ops.sign(number))

    def get_config(self):
        return super().get_config() | {"per_image": self.per_image}


def lovasz_jaccard(errors, truth, weight):
    """(...) Lovász extension of the Jaccard loss at `errors` (..., N), for 0/1 `truth` (..., N).

    A pixel of weight 0 changes neither intersection nor union wherever it is sorted.
    """
    order = ops.stop_gradient(ops.argsort(-errors, axis=-1))
    errors = ops.take_along_axis(errors, order, axis=-1)
    # the weight above 0 inside and below 0 outside, since gathering costs a third of the time
    signed = ops.take_along_axis(weight * (2 * truth - 1), order, axis=-1)
    weight, inside = ops.abs(signed), ops.relu(signed)
    size = ops.sum(inside, -1, keepdims=True)
    intersection = size - ops.cumsum(inside, -1)
    union = size + ops.cumsum(weight - inside, -1)
    jaccard = ops.where(union > 0, 1 - ops.divide_no_nan(intersection, union), 0.0)
    steps = ops.concatenate([jaccard[..., :1], jaccard[..., 1:] - jaccard[..., :-1]], -1)
    return ops.sum(errors * ops.stop_gradient(steps), -1)


def mean_of_sorted(loss: SegmentationLoss, values, pixels: Pixels):
    """Reduces (B,) values of images, or the (1,) value of this replica's batch."""
    if loss.per_image:
        return loss.mean_of_regions(values, pixels, "image")
    return loss.mean_of_regions(values[0], pixels, "replica")


def _regions(pixels, per_image: bool):
    """(B, *P) → (B, N) or (1, N)."""
    return ops.reshape(pixels, (ops.shape(pixels)[0] if per_image else 1, -1))


def _classes_first(pixels, per_image: bool):
    """(B, *P, C) → (B, C, N) or (1, C, N)."""
    batch = ops.shape(pixels)[0] if per_image else 1
    return ops.swapaxes(ops.reshape(pixels, (batch, -1, pixels.shape[-1])), 1, 2)
