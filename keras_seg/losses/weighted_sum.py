"""Weighted sums of losses, which can be written as `CrossEntropy() + 0.5 * Dice()`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import keras


class LossArithmetic:
    """`loss + loss`, `0.5 * loss` and `sum([...])` make a `WeightedSum`, as `losses.get` does."""

    __array_ufunc__ = None
    """Lets the loss handle `numpy.float32(0.5) * loss`."""

    def __add__(self, other: Any) -> WeightedSum:
        return _sum(self, other)

    def __radd__(self, other: Any) -> WeightedSum | LossArithmetic:
        if isinstance(other, Real) and other == 0:  # `sum` starts with 0
            return self
        return _sum(other, self)

    def __mul__(self, factor: float) -> WeightedSum:
        return _scaled(self, factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> WeightedSum:
        if not isinstance(divisor, Real) or not divisor:
            return _scaled(self, divisor)
        return _scaled(self, 1 / divisor)

    def __neg__(self) -> None:
        raise ValueError("A loss cannot be negated: training would raise it. Leave the minus out.")

    def __sub__(self, other: Any) -> None:
        raise ValueError("Losses cannot be subtracted. Add them, each with a factor above 0.")

    __rsub__ = __sub__


@keras.saving.register_keras_serializable("keras_seg")
class WeightedSum(LossArithmetic, keras.losses.Loss):
    """The sum of weight * loss.

    `CrossEntropy() + 0.5 * Dice()` and `losses.get("cross_entropy+0.5*dice")` make the same.

    Args:
        losses: losses of this package or of Keras.
        weights: one factor per loss; None for 1.
        reduction: not used; each loss has its own.
        name: name of the sum.

    Raises: ValueError for something that is not a loss, or another number of weights.

    Example:
        >>> losses = keras_seg.losses
        >>> loss = losses.WeightedSum([losses.CrossEntropy(), losses.Dice()], weights=[1, 0.5])
        >>> loss.weights
        [1.0, 0.5]
    """

    def __init__(
        self,
        losses: Sequence[keras.losses.Loss],
        *,
        weights: Sequence[float] | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str = "weighted_sum",
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype="float32")
        weights = [1.0] * len(losses) if weights is None else [float(w) for w in weights]
        if not losses or len(weights) != len(losses):
            raise ValueError(
                "WeightedSum needs losses and one weight per loss. "
                f"Received: {len(losses)} losses and {len(weights)} weights"
            )
        self.losses = [_checked_loss(loss) for loss in losses]
        self.weights = weights

    @property
    def multi_label(self) -> bool:
        """Whether one of the losses takes each channel as an independent label."""
        return any(getattr(loss, "multi_label", False) for loss in self.losses)

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        self._check_labels(y_pred)
        # Each loss reduces over its own counted pixels, so reduced values are added.
        parts = zip(self.weights, self.losses, strict=True)
        return sum(w * loss(y_true, y_pred, sample_weight) for w, loss in parts)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss without sample weights."""
        return self(y_true, y_pred)

    def _check_labels(self, y_pred: Any) -> None:
        """Raises ValueError for `multi_label` losses beside others; one channel suits both."""
        kinds = {getattr(loss, "multi_label", None): loss.name for loss in self.losses}
        if {True, False} <= kinds.keys() and y_pred.shape[-1] != 1:
            raise ValueError(
                f"{kinds[True]} has multi_label=True and reads each channel as an independent "
                f"label. {kinds[False]} reads one class per pixel. Give both the same multi_label."
            )

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return super().get_config() | {
            "losses": [keras.losses.serialize(loss) for loss in self.losses],
            "weights": self.weights,
        }


def _checked_loss(loss: Any) -> keras.losses.Loss:
    if isinstance(loss, Mapping) and "class_name" in loss:  # from `get_config`
        loss = keras.losses.deserialize(loss)
    if not isinstance(loss, keras.losses.Loss):
        raise ValueError(
            f"WeightedSum adds losses, objects of keras.losses.Loss. Received: {loss!r}. For names "
            "use keras_seg.losses.get; for a function subclass keras.losses.Loss."
        )
    return loss


def _sum(one: Any, other: Any) -> WeightedSum:
    parts = [*_parts(one), *_parts(other)]
    return WeightedSum(
        [loss for _, loss in parts],
        weights=[weight for weight, _ in parts],
        name="_and_".join(loss.name for _, loss in parts),
    )


def _scaled(loss: Any, factor: Any) -> WeightedSum:
    is_number = isinstance(factor, Real) and not isinstance(factor, bool)
    if not is_number or not 0 < factor < math.inf:
        raise ValueError(f"The factor of a loss must be a number above 0. Received: {factor!r}")
    parts = _parts(loss)
    return WeightedSum(
        [part for _, part in parts],
        weights=[float(factor) * weight for weight, _ in parts],
        name=loss.name,
    )


def _parts(loss: Any) -> list[tuple[float, keras.losses.Loss]]:
    if isinstance(loss, WeightedSum):
        return list(zip(loss.weights, loss.losses, strict=True))
    if isinstance(loss, keras.losses.Loss):
        return [(1.0, loss)]
    raise ValueError(
        f"Only a loss can be added to a loss. Received: {loss!r}. For names use "
        "keras_seg.losses.get('cross_entropy+0.5*dice')."
    )
