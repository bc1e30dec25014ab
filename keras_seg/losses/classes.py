"""Which classes a loss of regions averages over."""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops


def check_classes(classes: str | Sequence[int]) -> str | tuple[int, ...]:
    """ "present", "all" or class numbers as a tuple; ValueError for anything else."""
    if classes in ("present", "all"):
        return classes
    if isinstance(classes, str) or not len(classes) or min(classes) < 0:
        raise ValueError(
            f"classes must be 'present', 'all' or a list of class numbers. Received: {classes!r}"
        )
    return tuple(int(value) for value in classes)


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
