"""Checks of arguments that every subpackage shares: the value in its type, or a ValueError."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np


def number(value: Any, option: str) -> float:
    """A finite number, unchanged. Text such as "1e-3", which YAML leaves as text, is converted.

    Args:
        option: name of the argument, for the message.

    Raises: ValueError for anything else.
    """
    result = value
    if isinstance(value, str):
        try:
            result = float(value)
        except ValueError:
            result = math.nan
    is_number = isinstance(result, int | float | np.integer | np.floating)
    if not is_number or isinstance(result, bool) or not math.isfinite(result):
        raise ValueError(f"{option} must be a number. Received: {value!r}")
    return result.item() if isinstance(result, np.generic) else result


def whole_number(value: Any, option: str) -> int:
    """A number without a fraction, as int.

    Raises: ValueError for anything else.
    """
    result = number(value, option)
    if result != int(result):
        raise ValueError(f"{option} must be a whole number. Received: {value!r}")
    return int(result)


def flag(value: Any, option: str) -> bool:
    """True or False.

    Raises: ValueError for anything else, such as "no".
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{option} must be True or False. Received: {value!r}")
    return bool(value)


def checked_shape(shape: Any) -> tuple[int | None, int | None, int]:
    """(height, width, channels) in pixels, None for a free height or width.

    Raises: ValueError for another number of entries, or entries that are not positive integers.
    """
    try:
        entries = tuple(shape)
    except TypeError:
        entries = ()
    if isinstance(shape, str) or len(entries) != 3:
        name = f" An encoder is named by backbone={shape!r}." if isinstance(shape, str) else ""
        batch = " Leave the batch axis out." if len(entries) == 4 else ""
        raise ValueError(
            "input_shape is (height, width, channels) in pixels, such as (256, 256, 3). Received: "
            f"{shape!r}.{batch}{name}"
        )
    free = [entry is None for entry in entries]
    whole = [
        isinstance(entry, numbers.Integral) and not isinstance(entry, bool) and entry > 0
        for entry in entries
    ]
    if not all(a or b for a, b in zip(free, whole, strict=True)) or free[2]:
        raise ValueError(
            "input_shape is (height, width, channels): whole numbers of at least 1 pixel, and None "
            f"(not -1 or 0) for a free height or width. Received: {shape!r}. Write for example "
            "(256, 256, 3)."
        )
    return tuple(None if entry is None else int(entry) for entry in entries)


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
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= 1


def image_shape(shape: Any) -> tuple[int | None, int | None, int]:
    """(height, width, channels) in pixels; None for a free height or width.

    Raises: ValueError as `checked_shape`, and for a shape whose channels come first.
    """
    if _is_channels_first(shape):
        raise ValueError(
            f"input_shape is (height, width, channels). Received: {shape!r}, in which the channels "
            f"seem to come first. Write {(*shape[1:], shape[0])!r}."
        )
    return checked_shape(shape)


def _is_channels_first(shape: Any) -> bool:
    if not isinstance(shape, tuple | list) or len(shape) != 3 or shape[0] not in (1, 3, 4):
        return False
    return all(side is None or (is_count(side) and side > 16) for side in shape[1:])
