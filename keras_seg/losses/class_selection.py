"""The classes over which an overlap, boundary or Lovász loss averages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

Selection = str | tuple[int, ...]
"""'present' (in the truth), 'all', or class indices; only those in the truth count."""


def checked_selection(classes: str | Sequence[int]) -> Selection:
    """'present', 'all' or class indices as a tuple.

    Raises: ValueError for anything else.
    """
    if isinstance(classes, str) and classes in ("present", "all"):
        return classes
    is_list = isinstance(classes, Sequence | np.ndarray) and not isinstance(classes, str)
    if not is_list or not len(classes) or not all(map(_is_class_number, classes)):
        raise ValueError(
            f"classes must be 'present', 'all' or a list of class indices. Received: {classes!r}"
        )
    return tuple(int(value) for value in classes)


def selected_classes(classes: Selection, true: Any) -> Any:
    """(..., C) float32, 1 for the selected classes.

    Args:
        classes: result of `checked_selection`.
        true: (..., C) size of each class in the truth.

    Raises: ValueError for class indices that the scores do not have.
    """
    if classes == "all":
        return ops.ones_like(true)
    present = ops.cast(true > 0, "float32")
    if classes == "present":
        return present
    num_classes = true.shape[-1]
    if max(classes) >= num_classes:
        raise ValueError(
            f"classes={list(classes)} for scores of {num_classes} classes. Give indices from 0 to "
            f"{num_classes - 1}."
        )
    return present * ops.convert_to_tensor([float(c in classes) for c in range(num_classes)])


def _is_class_number(value: object) -> bool:
    is_whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return is_whole and value >= 0
