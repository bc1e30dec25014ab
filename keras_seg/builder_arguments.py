"""Checks of arguments that builders of networks and of encoders share."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np


def choice(value: Any, option: str, choices: Iterable) -> Any:
    """One of the choices, as it is given.

    Raises: ValueError that names the option for any other value.
    """
    choices = tuple(choices)
    if not is_one_of(value, choices):
        raise ValueError(f"{option} must be one of {choices}. Received: {value!r}")
    return value


def is_one_of(value: Any, choices: tuple) -> bool:
    """Whether a value, which may be of any type, equals one of the choices."""
    return isinstance(value, str | int | float | np.number | None) and value in choices


def is_count(value: object) -> bool:
    """Whether a value is a whole number of at least 1."""
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= 1


def image_shape(shape: Any) -> tuple[int | None, int | None, int]:
    """(height, width, channels) in pixels; None for a free height or width.

    Raises: ValueError for anything else, and for a shape whose channels come first.
    """
    try:
        height, width, channels = shape
    except (TypeError, ValueError):
        height = width = channels = None
    if not is_count(channels) or not all(n is None or is_count(n) for n in (height, width)):
        raise ValueError(
            "input_shape must be (height, width, channels), with None for a free height or width. "
            f"Received: {shape!r}"
        )
    height, width, channels = (None if n is None else int(n) for n in (height, width, channels))
    if height in (1, 3, 4) and channels > 16 and (width is None or width > 16):
        raise ValueError(
            f"input_shape is (height, width, channels). Received: {shape!r}, in which the channels "
            f"seem to come first. Write {(width, channels, height)!r}."
        )
    return height, width, channels
