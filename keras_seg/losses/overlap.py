"""Overlap losses: Dice, Jaccard and Tversky.

All are 1 - (I + s) / (I + alpha FP + beta FN + s) with I = sum(p t), FP = sum(p (1 - t)) and
FN = sum((1 - p) t). The sums are over the pixels that count, for each class.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_seg.arguments import flag, number
from keras_seg.losses.base import Pixels, SegmentationLoss
from keras_seg.losses.class_selection import checked_selection, selected_classes
from keras_seg.losses.replicas import sum_over_replicas
from keras_seg.names import IGNORE_CLASS


class Overlap(SegmentationLoss):
    """Base of the overlap losses. A subclass sets `alpha`, `beta` and `gamma`.

    A pixel counts in the sums by its weight, and the mean weight (of each image, if `per_image`)
    multiplies the loss: doubling all weights doubles the loss. With `multi_label` each label is a
    class with p = sigmoid(z) and its own ignored pixels. For soft labels t is the share of the
    class. Their smallest loss is not 0, and is not at p = t.

    Args:
        per_image: average one value per image that has a pixel that counts, instead of one value
            from the sums over the batch (of all replicas).
        classes: "present" averages over the classes in the truth; the term of an absent class could
            only punish small probabilities everywhere. "all" averages over all classes (set
            `smooth` then). A list averages over those of its classes that are present.
        smooth: s of the formula, in pixels.
        from_logits, ignore_class, reduction, multi_label, name: see `SegmentationLoss`.
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
    ) -> None:
        super().__init__(
            from_logits=from_logits,
            ignore_class=ignore_class,
            reduction=reduction,
            multi_label=multi_label,
            name=name,
        )
        self.per_image = flag(per_image, "per_image")
        self.classes = checked_selection(classes)
        self.smooth = number(smooth, "smooth")
        if self.smooth < 0:
            raise ValueError(f"smooth must not be below 0. Received: {smooth}")

    def loss_of(self, pixels: Pixels) -> Any:
        """The reduced loss of a batch."""
        weight = pixels.weight_of_channels()
        truth, probabilities = pixels.one_hot(), pixels.probabilities()
        axes = tuple(range(1 if self.per_image else 0, len(truth.shape) - 1))
        overlap = ops.sum(weight * truth * probabilities, axes)
        predicted = ops.sum(weight * probabilities, axes)
        true = ops.sum(weight * truth, axes)
        if not self.per_image:
            overlap, predicted, true = map(sum_over_replicas, (overlap, predicted, true))
        denominator = overlap + self.alpha * (predicted - overlap) + self.beta * (true - overlap)
        index = (overlap + self.smooth) / ops.maximum(
            denominator + self.smooth, keras.config.epsilon()
        )
        selected = selected_classes(self.classes, true)
        values = ops.sum(self._power(1 - index) * selected, -1)
        values = ops.divide_no_nan(values, ops.sum(selected, -1))
        return self.mean_of_regions(values, pixels, "image" if self.per_image else "batch")

    def _power(self, values: Any) -> Any:
        if self.gamma == 1:
            return values
        # a power below 1 has an infinite slope at 0
        return ops.maximum(values, keras.config.epsilon()) ** self.gamma

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {
            "per_image": self.per_image,
            "classes": self.classes,
            "smooth": self.smooth,
        }


@keras.saving.register_keras_serializable("keras_seg")
class Dice(Overlap):
    """Dice loss: 1 - 2 I / (sum(p) + sum(t)), averaged over classes.

    This is the Tversky loss with alpha = beta = 1/2. It adds to `keras.losses.Dice` integer masks,
    ignored pixels and logits, and leaves absent classes out.

    Differs from the paper: no squares in the denominator; some implementations count `smooth`
    twice.
    Source: Milletari et al., V-Net, arXiv:1606.04797.

    Args:
        per_image: average one value per image, instead of one value for the batch.
        classes: "present" (in the truth), "all", or a list of class indices, see `Overlap`.
        smooth: pixels added to numerator and denominator.
        from_logits, ignore_class, reduction, multi_label, name: see `SegmentationLoss`.

    Raises: ValueError for options that do not fit.

    Example:
        >>> masks = np.array([[[0, 1], [1, 255]]])  # (batch, height, width); 255 is ignored
        >>> logits = np.array([[[[2, 0], [0, 1]], [[1, 0], [0, 0]]]], "float32")
        >>> round(float(keras_seg.losses.Dice()(masks, logits)), 4)
        0.3737
    """

    default_name = "dice"


@keras.saving.register_keras_serializable("keras_seg")
class Jaccard(Overlap):
    """Jaccard (IoU) loss: 1 - I / (sum(p) + sum(t) - I), averaged over classes.

    This is the Tversky loss with alpha = beta = 1.
    Source: Rahman and Wang, Optimizing Intersection-Over-Union in Deep Neural Networks, 2016.

    Args:
        per_image: average one value per image, instead of one value for the batch.
        classes: "present" (in the truth), "all", or a list of class indices, see `Overlap`.
        smooth: pixels added to numerator and denominator.
        from_logits, ignore_class, reduction, multi_label, name: see `SegmentationLoss`.

    Raises: ValueError for options that do not fit.

    Example:
        >>> masks = np.array([[[0, 1], [1, 255]]])  # (batch, height, width); 255 is ignored
        >>> logits = np.array([[[[2, 0], [0, 1]], [[1, 0], [0, 0]]]], "float32")
        >>> round(float(keras_seg.losses.Jaccard()(masks, logits)), 4)
        0.5439
    """

    default_name = "jaccard"
    alpha = beta = 1.0


@keras.saving.register_keras_serializable("keras_seg")
class Tversky(Overlap):
    """Tversky loss: 1 - I / (I + alpha FP + beta FN), averaged over classes.

    A beta above alpha favours recall. The loss adds to `keras.losses.Tversky`, where alpha belongs
    to the false positives too, integer masks, ignored pixels and logits, and leaves absent classes
    out.
    Source: Salehi et al., arXiv:1706.05721.

    Args:
        alpha, beta: weights of false positives and of false negatives.
        per_image: average one value per image, instead of one value for the batch.
        classes: "present" (in the truth), "all", or a list of class indices, see `Overlap`.
        smooth: pixels added to numerator and denominator.
        from_logits, ignore_class, reduction, multi_label, name: see `SegmentationLoss`.

    Raises: ValueError for options that do not fit.

    Example:
        >>> masks = np.array([[[0, 1], [1, 255]]])  # (batch, height, width); 255 is ignored
        >>> logits = np.array([[[[2, 0], [0, 1]], [[1, 0], [0, 0]]]], "float32")
        >>> round(float(keras_seg.losses.Tversky(beta=0.9)(masks, logits)), 4)
        0.3998
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
    ) -> None:
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
        self.alpha, self.beta = number(alpha, "alpha"), number(beta, "beta")
        if min(self.alpha, self.beta) < 0 or self.alpha + self.beta == 0:
            raise ValueError(
                "alpha and beta must not be below 0, and not both 0. "
                f"Received: alpha={alpha}, beta={beta}"
            )

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {"alpha": self.alpha, "beta": self.beta}


@keras.saving.register_keras_serializable("keras_seg")
class FocalTversky(Tversky):
    """Focal Tversky loss: (1 - Tversky index) ^ gamma, averaged over classes.

    A gamma below 1 favours hard classes.

    Differs from the paper: it writes the exponent as 1 / gamma, with gamma 4/3, and calls the
    weight of the false negatives alpha.
    Source: Abraham and Khan, arXiv:1810.07842.

    Args:
        alpha, beta: weights of false positives and of false negatives.
        gamma: the exponent. Its base is at least 1e-7, so that gradients stay finite: a perfect
            prediction has a loss of 5.6e-6 by default.
        per_image: average one value per image, instead of one value for the batch.
        classes: "present" (in the truth), "all", or a list of class indices, see `Overlap`.
        smooth: pixels added to numerator and denominator.
        from_logits, ignore_class, reduction, multi_label, name: see `SegmentationLoss`.

    Raises: ValueError for options that do not fit.

    Example:
        >>> masks = np.array([[[0, 1], [1, 255]]])  # (batch, height, width); 255 is ignored
        >>> logits = np.array([[[[2, 0], [0, 1]], [[1, 0], [0, 0]]]], "float32")
        >>> round(float(keras_seg.losses.FocalTversky()(masks, logits)), 4)
        0.467
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
    ) -> None:
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
        self.gamma = number(gamma, "gamma")
        if self.gamma <= 0:
            raise ValueError(f"gamma must be above 0. Received: {gamma}")

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {"gamma": self.gamma}
