"""Losses of the overlap of a class' probabilities with its mask: Dice, Jaccard, Tversky.

All are 1 - (I + s) / (I + alpha FP + beta FN + s) with I = sum(p t), FP = sum(p (1 - t)),
FN = sum((1 - p) t), sums over the pixels that count, a class at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from keras_seg.arguments import flag, number
from keras_seg.losses.base import Pixels, SegmentationLoss
from keras_seg.losses.classes import check_classes, chosen_classes
from keras_seg.losses.replicas import sum_over_replicas
from keras_seg.names import IGNORE_CLASS


class Overlap(SegmentationLoss):
    """Base of the overlap losses.

    Weights multiply each pixel's part of the sums, and their mean multiplies the loss (of each
    image, if `per_image`), so that twice the weights are twice the loss. With `multi_label` the
    labels are the classes, each with sigmoid(z) for p and with its own ignored pixels. Of soft
    labels t is the share, as elsewhere; their smallest loss is not 0, and not at p = t.

    Args:
        per_image: a value an image, averaged over the images that have a pixel that counts,
            instead of one value for the sums over the batch (of all replicas).
        classes: "present" averages over the classes that occur in the truth, since the term of
            an absent class can only punish small probabilities everywhere; "all" over all of
            them (give `smooth` then); a list of numbers over those of them that occur.
        smooth: s of the formula, in pixels.
    """

    alpha = beta = 0.5
    gamma = 1.0

    def __init__(
        self,
        *,
        per_image: bool = False,
        classes: str | Sequence[int] = "present",
        smooth: float = 0.0,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        multi_label: bool = False,
        name: str | None = None,
    ):
        super().__init__(
            from_logits=from_logits,
            ignore_class=ignore_class,
            reduction=reduction,
            multi_label=multi_label,
            name=name,
        )
        smooth = number(smooth, "smooth")
        if smooth < 0:
            raise ValueError(f"smooth must not be below 0. Received: {smooth}")
        self.per_image, self.smooth = flag(per_image, "per_image"), smooth
        self.classes = check_classes(classes)

    def loss_of(self, pixels: Pixels):
        weight = pixels.weight_of_channels()
        truth, probabilities = pixels.one_hot(), pixels.probabilities()
        axes = tuple(range(1 if self.per_image else 0, len(truth.shape) - 1))
        overlap = ops.sum(weight * truth * probabilities, axes)
        predicted = ops.sum(weight * probabilities, axes)
        true = ops.sum(weight * truth, axes)
        if not self.per_image:
            overlap, predicted, true = map(sum_over_replicas, (overlap, predicted, true))
        denominator = overlap + self.alpha * (predicted - overlap) + self.beta * (true - overlap)
        quotient = (overlap + self.smooth) / ops.maximum(
            denominator + self.smooth, keras.config.epsilon()
        )
        chosen = chosen_classes(self.classes, true)
        values = ops.sum(self._power(1 - quotient) * chosen, -1)
        values = ops.divide_no_nan(values, ops.sum(chosen, -1))
        return self.mean_of_regions(values, pixels, "image" if self.per_image else "batch")

    def _power(self, values):
        if self.gamma == 1:
            return values
        # the slope of a power below 1 is infinite at 0
        return ops.maximum(values, keras.config.epsilon()) ** self.gamma

    def get_config(self):
        return super().get_config() | {
            "per_image": self.per_image,
            "classes": self.classes,
            "smooth": self.smooth,
        }


@keras.saving.register_keras_serializable("keras_seg")
class Dice(Overlap):
    """1 - 2 I / (sum(p) + sum(t)), a mean over classes: Tversky with alpha = beta = 1/2.

    `keras.losses.Dice` with integer masks, ignored pixels, logits and absent classes left out.
    Differs from the paper: no squares in the denominator; `smooth` counts twice in other codes.
    Source: Milletari et al., V-Net, arXiv:1606.04797.
    """

    def __init__(
        self,
        *,
        per_image: bool = False,
        classes: str | Sequence[int] = "present",
        smooth: float = 0.0,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        multi_label: bool = False,
        name: str = "dice",
    ):
        super().__init__(
            per_image=per_image,
            classes=classes,
            smooth=smooth,
            from_logits=from_logits,
            ignore_class=ignore_class,
            reduction=reduction,
            multi_label=multi_label,
            name=name,
        )


@keras.saving.register_keras_serializable("keras_seg")
class Jaccard(Overlap):
    """1 - I / (sum(p) + sum(t) - I), a mean over classes: Tversky with alpha = beta = 1.

    Source: Rahman and Wang, Optimizing Intersection-Over-Union in Deep Neural Networks, 2016.
    """

    alpha = beta = 1.0

    def __init__(
        self,
        *,
        per_image: bool = False,
        classes: str | Sequence[int] = "present",
        smooth: float = 0.0,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        multi_label: bool = False,
        name: str = "jaccard",
    ):
        super().__init__(
            per_image=per_image,
            classes=classes,
            smooth=smooth,
            from_logits=from_logits,
            ignore_class=ignore_class,
            reduction=reduction,
            multi_label=multi_label,
            name=name,
        )


@keras.saving.register_keras_serializable("keras_seg")
class Tversky(Overlap):
    """1 - I / (I + alpha FP + beta FN), a mean over classes; beta above alpha favours recall.

    `keras.losses.Tversky` with integer masks, ignored pixels, logits and absent classes left out;
    there, too, alpha belongs to the false positives. Source: Salehi et al., arXiv:1706.05721.

    Args:
        alpha, beta: weight of false positives and of false negatives.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.3,
        beta: float = 0.7,
        per_image: bool = False,
        classes: str | Sequence[int] = "present",
        smooth: float = 0.0,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        multi_label: bool = False,
        name: str = "tversky",
    ):
        super().__init__(
            per_image=per_image,
            classes=classes,
            smooth=smooth,
            from_logits=from_logits,
            ignore_class=ignore_class,
            reduction=reduction,
            multi_label=multi_label,
            name=name,
        )
        alpha, beta = number(alpha, "alpha"), number(beta, "beta")
        if min(alpha, beta) < 0 or alpha + beta == 0:
            raise ValueError(
                "alpha and beta must not be below 0, and not both 0. "
                f"Received: alpha={alpha}, beta={beta}"
            )
        self.alpha, self.beta = alpha, beta

    def get_config(self):
        return super().get_config() | {"alpha": self.alpha, "beta": self.beta}


@keras.saving.register_keras_serializable("keras_seg")
class FocalTversky(Tversky):
    """(1 - Tversky index) ^ gamma, a mean over classes; gamma below 1 favours hard classes.

    Differs from the paper: it writes the exponent as 1 / gamma, with gamma 4/3, and calls the
    weight of the false negatives alpha. Source: Abraham and Khan, arXiv:1810.07842.

    Args:
        alpha, beta: weight of false positives and of false negatives.
        gamma: the exponent. What is below 1e-7 counts as 1e-7 there, so that gradients stay
            finite: a perfect answer has a loss of 5.6e-6 by default.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.3,
        beta: float = 0.7,
        gamma: float = 0.75,
        per_image: bool = False,
        classes: str | Sequence[int] = "present",
        smooth: float = 0.0,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        multi_label: bool = False,
        name: str = "focal_tversky",
    ):
        super().__init__(
            alpha=alpha,
            beta=beta,
            per_image=per_image,
            classes=classes,
            smooth=smooth,
            from_logits=from_logits,
            ignore_class=ignore_class,
            reduction=reduction,
            multi_label=multi_label,
            name=name,
        )
        gamma = number(gamma, "gamma")
        if gamma <= 0:
            raise ValueError(f"gamma must be above 0. Received: {gamma}")
        self.gamma = gamma

    def get_config(self):
        return super().get_config() | {"gamma": self.gamma}
