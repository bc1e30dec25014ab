"""Cross-entropy, over all pixels or over the hard ones (OHEM)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_seg.arguments import number
from keras_seg.losses.base import Pixels, SegmentationLoss
from keras_seg.names import IGNORE_CLASS


@keras.saving.register_keras_serializable("keras_seg")
class CrossEntropy(SegmentationLoss):
    """Cross-entropy: -log p[y], averaged over the pixels that count.

    It adds to `keras.losses.SparseCategoricalCrossentropy` what masks need: one output channel,
    one-hot and soft labels, class weights, weights (B,) per image, equal values on many replicas.
    U-Net's border weight map is a `sample_weight` (B, H, W). With `multi_label` it is
    `keras.losses.BinaryCrossentropy`, averaged over the labels that count.

    Args:
        class_weights: one factor per class (two for one output channel; with `multi_label` one per
            label), or a mapping {class: weight} in which the other classes weigh 1.
            `keras_seg.data.class_weights` counts them from data. The mean is still over the
            number of pixels, as in SegNet; reduction="mean_with_sample_weight" divides by the sum
            of weights, as PyTorch does.
        label_smoothing: share of the label that is spread evenly over all classes, 0 to 1; with
            `multi_label` over presence and absence of each label.
        from_logits, ignore_class, reduction, multi_label, name: see `SegmentationLoss`.

    Raises: ValueError for options that do not fit.

    Example:
        >>> masks = np.array([[[0, 1], [1, 255]]])  # (batch, height, width); 255 is ignored
        >>> logits = np.array([[[[2, 0], [0, 1]], [[1, 0], [0, 0]]]], "float32")
        >>> round(float(keras_seg.losses.CrossEntropy()(masks, logits)), 4)
        0.5845
    """

    def __init__(
        self,
        *,
        class_weights: Mapping[int, float] | Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        multi_label: bool = False,
        name: str = "cross_entropy",
    ) -> None:
        super().__init__(
            from_logits=from_logits,
            ignore_class=ignore_class,
            reduction=reduction,
            multi_label=multi_label,
            name=name,
        )
        label_smoothing = number(label_smoothing, "label_smoothing")
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must be 0 to 1. Received: {label_smoothing}")
        self.set_class_weights(class_weights)
        self.label_smoothing = label_smoothing

    def loss_of(self, pixels: Pixels) -> Any:
        """The reduced loss of a batch."""
        values = cross_entropy(pixels)
        if self.label_smoothing and pixels.multi_label:
            # presence and absence in equal parts
            uniform = ops.softplus(pixels.logits) - pixels.logits / 2
            values = (1 - self.label_smoothing) * values + self.label_smoothing * uniform
        elif self.label_smoothing:
            # -log p averaged over all classes
            uniform = ops.logsumexp(pixels.logits, -1) - ops.mean(pixels.logits, -1)
            values = (1 - self.label_smoothing) * values + self.label_smoothing * uniform
        return self.mean(values, self.weighted_by_class(pixels), pixels.counted)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {
            "class_weights": self.class_weights_config(),
            "label_smoothing": self.label_smoothing,
        }


@keras.saving.register_keras_serializable("keras_seg")
class OhemCrossEntropy(SegmentationLoss):
    """Online hard example mining: cross-entropy over the hard pixels.

    Hard pixels have a p[y] below `threshold`. At least the `min_kept` hardest pixels are kept, and
    all that are as hard as the last of these. For soft labels exp(-cross-entropy) replaces p[y].
    With `multi_label` each label of a pixel is chosen, and counted, separately. Each replica of
    `tf.distribute` chooses its own `min_kept` pixels.

    Differs from the code of HRNet and OCR, which leaves out the easiest pixel if fewer than
    `min_kept` count, and gives NaN if all pixels are equally hard.
    Source: Shrivastava et al., arXiv:1604.03540; HRNet's OHEMTHRES 0.9 and OHEMKEEP 131072, OCR's
    0.7 and 100000.

    Args:
        threshold: probability of the true class, 0 to 1, below which a pixel is hard.
        min_kept: number of pixels of a batch, or below 1 the share of the pixels that count.
        class_weights: as for `CrossEntropy`; they do not change which pixels are hard.
        from_logits, ignore_class, reduction, multi_label, name: see `SegmentationLoss`.

    Raises: ValueError for options that do not fit.

    Example:
        >>> masks = np.array([[[0, 1], [1, 255]]])  # (batch, height, width); 255 is ignored
        >>> logits = np.array([[[[2, 0], [0, 1]], [[1, 0], [0, 0]]]], "float32")
        >>> round(float(keras_seg.losses.OhemCrossEntropy(min_kept=1)(masks, logits)), 4)
        1.3133
    """

    def __init__(
        self,
        *,
        threshold: float = 0.7,
        min_kept: float = 1 / 16,
        class_weights: Mapping[int, float] | Sequence[float] | None = None,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        multi_label: bool = False,
        name: str = "ohem",
    ) -> None:
        super().__init__(
            from_logits=from_logits,
            ignore_class=ignore_class,
            reduction=reduction,
            multi_label=multi_label,
            name=name,
        )
        threshold, min_kept = number(threshold, "threshold"), number(min_kept, "min_kept")
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be a probability, 0 to 1. Received: {threshold}")
        if min_kept < 0 or (min_kept > 1 and min_kept != int(min_kept)):
            raise ValueError(
                "min_kept must be a number of pixels, or a share between 0 and 1. "
                f"Received: {min_kept}"
            )
        self.threshold, self.min_kept = threshold, min_kept
        self.set_class_weights(class_weights)

    def loss_of(self, pixels: Pixels) -> Any:
        """The reduced loss of a batch."""
        values, weight = cross_entropy(pixels), self.weighted_by_class(pixels)
        hard = ops.stop_gradient(self._hard(values, weight, pixels.counted))
        return self.mean(values, weight * hard, pixels.counted * hard)

    def _hard(self, values: Any, weight: Any, counted: Any) -> Any:
        """1 where a pixel is kept; `values` is -log p[y]."""
        last = ops.reshape(ops.where(counted > 0, values, -1.0), (-1,))
        total = ops.sum(ops.cast(counted, "int32"))
        kept = self.min_kept
        kept = ops.cast(ops.ceil(kept * ops.cast(total, "float32")), "int32") if kept < 1 else kept
        kept = ops.minimum(ops.cast(kept, "int32"), total)
        # one more value, since a replica may have no images
        hardest_first = ops.pad(-ops.sort(-last), (0, 1), constant_values=-1.0)
        least = ops.take(hardest_first, ops.maximum(kept - 1, 0))
        among_hardest = (values >= least) & (kept > 0)
        below = ops.exp(-values) < self.threshold
        # comparisons with NaN are false; a pixel with a NaN loss must be kept
        broken = ops.isnan(values) | ops.isnan(weight)
        return ops.cast(among_hardest | below | broken, "float32") * counted

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {
            "threshold": self.threshold,
            "min_kept": self.min_kept,
            "class_weights": self.class_weights_config(),
        }


def cross_entropy(pixels: Pixels) -> Any:
    """(B, *P) -log p[y]; for soft labels -sum over the classes of t log p.

    With `multi_label` (B, *P, C), per label: -t log p - (1 - t) log(1 - p).
    """
    if pixels.multi_label:
        return ops.binary_crossentropy(pixels.truth, pixels.logits, from_logits=True)
    if pixels.truth is not None:
        return -ops.sum(pixels.truth * ops.log_softmax(pixels.logits), -1)
    return ops.sparse_categorical_crossentropy(pixels.ids, pixels.logits, from_logits=True)
