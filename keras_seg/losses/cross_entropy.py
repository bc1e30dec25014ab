"""Cross-entropy, over all pixels or over the hard ones."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from keras_seg.losses.base import (
    Pixels,
    SegmentationLoss,
    check_class_weights,
    weights_of_classes,
)
from keras_seg.names import IGNORE_CLASS


@keras.saving.register_keras_serializable("keras_seg")
class CrossEntropy(SegmentationLoss):
    """-log p[y], averaged over the pixels that count.

    `keras.losses.SparseCategoricalCrossentropy` with what masks need besides: one output channel,
    one-hot and soft labels, class weights, weights (B,) an image, equal values on many replicas.
    U-Net's border weight map is a `sample_weight` (B, H, W).

    Args:
        class_weights: one factor a class (two for one output channel). The mean is still over the
            number of pixels, as in SegNet; reduction="mean_with_sample_weight" divides by the sum
            of weights, as PyTorch does.
        label_smoothing: share of the label that goes to all classes alike, 0 to 1.
    """

    def __init__(
        self,
        *,
        class_weights: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        name: str = "cross_entropy",
    ):
        super().__init__(
            from_logits=from_logits, ignore_class=ignore_class, reduction=reduction, name=name
        )
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing must be 0 to 1. Received: {label_smoothing}")
        self.class_weights = check_class_weights(class_weights)
        self.label_smoothing = label_smoothing

    def loss_of(self, pixels: Pixels):
        values, weight = cross_entropy(pixels), pixels.weight
        if self.label_smoothing:
            # -log p averaged over all classes
            uniform = ops.logsumexp(pixels.logits, -1) - ops.mean(pixels.logits, -1)
            values = (1 - self.label_smoothing) * values + self.label_smoothing * uniform
        if self.class_weights is not None:
            weight = weight * weights_of_classes(self.class_weights, pixels)
        return self.mean(values, weight, pixels.counted)

    def get_config(self):
        return super().get_config() | {
            "class_weights": self.class_weights,
            "label_smoothing": self.label_smoothing,
        }


@keras.saving.register_keras_serializable("keras_seg")
class OhemCrossEntropy(SegmentationLoss):
    """Cross-entropy over the hard pixels: those with p[y] below `threshold`, and at least
    `min_kept` of the hardest.

    Differs from the code of HRNet and OCR, which leaves out the easiest pixel where fewer than
    `min_kept` count, and gives NaN where all pixels are equally hard; pixels as hard as the last
    one kept are kept too. Each replica of `tf.distribute` chooses `min_kept` pixels of its own.
    Source: Shrivastava et al., arXiv:1604.03540; HRNet's OHEMTHRES 0.9 and OHEMKEEP 131072, OCR's
    0.7 and 100000.

    Args:
        threshold: probability of the true class, 0 to 1, below which a pixel is hard.
        min_kept: pixels of a batch, or below 1 the share of the pixels that count.
        class_weights: as for `CrossEntropy`; they do not change which pixels are hard.
    """

    def __init__(
        self,
        *,
        threshold: float = 0.7,
        min_kept: float = 1 / 16,
        class_weights: Sequence[float] | None = None,
        from_logits: bool = True,
        ignore_class: int | None = IGNORE_CLASS,
        reduction: str | None = "sum_over_batch_size",
        name: str = "ohem",
    ):
        super().__init__(
            from_logits=from_logits, ignore_class=ignore_class, reduction=reduction, name=name
        )
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be a probability, 0 to 1. Received: {threshold}")
        if min_kept < 0 or (min_kept > 1 and min_kept != int(min_kept)):
            raise ValueError(
                "min_kept must be a number of pixels, or a share between 0 and 1. "
                f"Received: {min_kept}"
            )
        self.threshold, self.min_kept = threshold, min_kept
        self.class_weights = check_class_weights(class_weights)

    def loss_of(self, pixels: Pixels):
        values, weight = cross_entropy(pixels), pixels.weight
        if self.class_weights is not None:
            weight = weight * weights_of_classes(self.class_weights, pixels)
        hard = ops.stop_gradient(self._hard(values, pixels.counted))
        return self.mean(values, weight * hard, pixels.counted * hard)

    def _hard(self, values, counted):
        """1 where a pixel is kept; `values` is -log p[y]."""
        last = ops.reshape(ops.where(counted > 0, values, -1.0), (-1,))
        number = ops.sum(ops.cast(counted, "int32"))
        kept = self.min_kept
        kept = ops.cast(ops.ceil(kept * ops.cast(number, "float32")), "int32") if kept < 1 else kept
        kept = ops.minimum(ops.cast(kept, "int32"), number)
        # one more, so that there is a first one also in a replica that got no images
        hardest_first = ops.pad(-ops.sort(-last), (0, 1), constant_values=-1.0)
        least = ops.take(hardest_first, ops.maximum(kept - 1, 0))
        of_number = (values >= least) & (kept > 0)
        below = ops.exp(-values) < self.threshold
        # no comparison holds for NaN, and a network that puts it out has no small loss
        return ops.cast(of_number | below | ops.isnan(values), "float32") * counted

    def get_config(self):
        return super().get_config() | {
            "threshold": self.threshold,
            "min_kept": self.min_kept,
            "class_weights": self.class_weights,
        }


def cross_entropy(pixels: Pixels):
    """(B, *P) -log p[y], from soft labels -sum over classes of t log p."""
    if pixels.truth is not None:
        return -ops.sum(pixels.truth * ops.log_softmax(pixels.logits), -1)
    return ops.sparse_categorical_crossentropy(pixels.ids, pixels.logits, from_logits=True)
