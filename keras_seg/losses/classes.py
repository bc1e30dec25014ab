"""Which classes a loss of regions averages over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from keras import ops


def check_classes(classes: str | Sequence[int]) -> str | tuple[int, ...]:
    """ "present", "all" or class numbers as a tuple; ValueError for anything else."""
    if isinstance(classes, str) and classes in ("present", "all"):
        return classes
    listed = isinstance(classes, Sequence | np.ndarray) and not isinstance(classes, str)
    if not listed or not len(classes) or not all(map(_is_class, classes)):
        raise ValueError(
            f"classes must be 'present', 'all' or a list of class numbers. Received: {classes!r}"
        )
    return tuple(int(value) for value in classes)


def _is_class(value) -> bool:
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return is_whole and value >= 0


def chosen_classes(classes: str | tuple[int, ...], true):
    """(..., C) float32, 1 for the classes that count; `true` (..., C) is their size in the truth.

    ValueError for class numbers that the scores do not have.
    """
    if classes == "all":
        return ops.ones_like(true)
    present = ops.cast(true > 0, "float32")
    if classes == "present":
        return present
    num_classes = true.shape[-1]
    if max(classes) >= num_classes:
        raise ValueError(f"classes={list(classes)} for scores of {num_classes} classes.")
    return present * ops.convert_to_tensor([float(c in classes) for c in range(num_classes)])
