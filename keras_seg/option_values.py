"""Options of losses, metrics and exports: of the right type, or refused by their name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def number(value: Any, option: str) -> float:
    """A finite number as it is given; text that is one, as YAML has `1e-3`, as a float.

    Raises: ValueError that names the option.
    """
    found = value
    if isinstance(value, str):
        try:
            found = float(value)
        except ValueError:
            found = math.nan
    is_number = isinstance(found, int | float | np.integer | np.floating)
    if not is_number or isinstance(found, bool) or not math.isfinite(found):
        raise ValueError(f"{option} must be a number. Received: {value!r}")
    return found.item() if isinstance(found, np.generic) else found


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
