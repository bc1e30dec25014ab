"""`0.5 * loss + loss`: sums of losses written as such."""

from __future__ import annotations

import math
from numbers import Real

import keras


class LossArithmetic:
    """`loss + loss`, `0.5 * loss` and `sum([...])` make a `WeightedSum`, as `losses.get` does."""

    __array_ufunc__ = None
    """Leaves `numpy.float32(0.5) * loss` to the loss."""

    def __add__(self, other):
        return _sum(self, other)

    def __radd__(self, other):
        if isinstance(other, Real) and other == 0:  # where `sum` begins
            return self
        return _sum(other, self)

    def __mul__(self, factor):
        return _scaled(self, factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor):
        if not isinstance(divisor, Real) or not divisor:
            return _scaled(self, divisor)
        return _scaled(self, 1 / divisor)

    def __neg__(self):
        raise ValueError("A loss has no negative: training would raise it. Leave the minus out.")

    def __sub__(self, other):
        raise ValueError("Losses cannot be subtracted. Add them, each with a factor above 0.")

    __rsub__ = __sub__


def _sum(one, other):
    from keras_seg.losses.weighted_sum import WeightedSum

    parts = [*_parts(one), *_parts(other)]
    return WeightedSum(
        [loss for _, loss in parts],
        weights=[weight for weight, _ in parts],
        name="_and_".join(loss.name for _, loss in parts),
    )


def _scaled(loss, factor):
    from keras_seg.losses.weighted_sum import WeightedSum

    is_number = isinstance(factor, Real) and not isinstance(factor, bool)
    if not is_number or not 0 < factor < math.inf:
        raise ValueError(f"The factor of a loss must be a number above 0. Received: {factor!r}")
    parts = _parts(loss)
    return WeightedSum(
        [part for _, part in parts],
        weights=[float(factor) * weight for weight, _ in parts],
        name=loss.name,
    )


def _parts(loss) -> list[tuple[float, keras.losses.Loss]]:
    from keras_seg.losses.weighted_sum import WeightedSum

    if isinstance(loss, WeightedSum):
        return list(zip(loss.weights, loss.losses, strict=True))
    if isinstance(loss, keras.losses.Loss):
        return [(1.0, loss)]
    raise ValueError(
        f"Only a loss can be added to a loss. Received: {loss!r}. Names are read by "
        "keras_seg.losses.get('cross_entropy+0.5*dice')."
    )
