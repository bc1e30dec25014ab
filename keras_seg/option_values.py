"""Checks single options. A wrong value is refused with a message that names the option."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np


def number(value: Any, option: str) -> float:
    """A finite number as it is given; text that is one, as YAML has `1e-3`, as a float.

    Raises: ValueError that names the option.
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
    """A number without a fraction, as int; ValueError that names the option otherwise."""
    found = number(value, option)
    if found != int(found):
        raise ValueError(f"{option} must be a whole number. Received: {value!r}")
    return int(found)


def flag(value: Any, option: str) -> bool:
    """True or False; ValueError that names the option for anything else, "no" say."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{option} must be True or False. Received: {value!r}")
    return bool(value)


def choice(value: Any, option: str, choices: Iterable) -> Any:
    """One of the choices, as it is given; ValueError that names the option otherwise."""
    choices = tuple(choices)
    if not is_one_of(value, choices):
        raise ValueError(f"{option} must be one of {choices}. Received: {value!r}")
    return value


def is_one_of(value: Any, choices: tuple) -> bool:
    """Whether a value, which may be of any type, equals one of the choices."""
    return isinstance(value, str | int | float | np.number | None) and value in choices
