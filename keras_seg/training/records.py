"""Dataclasses as plain records and back, with the nearest name for what is misspelt."""

from __future__ import annotations

import math
import types
import typing
from dataclasses import asdict, is_dataclass

import numpy as np

from keras_seg.names import unknown_name

SEQUENCE = list | tuple
WORDS = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "truth values"),
    str: ("text", "texts"),
    dict: ("a mapping of names", "mappings of names"),
    list: ("a list", "lists"),
    types.NoneType: ("null", "nulls"),
}


def to_record(value) -> dict:
    """A dataclass as nested dictionaries and lists, as YAML's safe writer takes them."""
    return _plain(asdict(value))


def check_keys(record: dict, cls: type, what: str = "recipe entry", prefix: str = "") -> None:
    """Raises ValueError for a key that `cls` or a dataclass in it lacks, with the nearest one, and
    for a value of another type than its own.
    """
    hints = typing.get_type_hints(cls)
    for key, value in record.items():
        if key not in hints:
            raise ValueError(unknown_name(what, f"{prefix}{key}", [f"{prefix}{k}" for k in hints]))
        if is_dataclass(hints[key]) and isinstance(value, dict):
            check_keys(value, hints[key], what, f"{prefix}{key}.")
        elif not fits(value, hints[key]):
            raise ValueError(
                f"{what} '{prefix}{key}' must be {in_words(hints[key])}. Received: {value!r}"
            )


def fits(value, hint) -> bool:
    """Whether a value out of a YAML file is of a dataclass's type."""
    if is_dataclass(hint):
        return isinstance(value, dict | hint)
    if isinstance(hint, types.UnionType):
        return any(fits(value, kind) for kind in typing.get_args(hint))
    origin, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is float:
        return _number(value) is not None
    if origin is tuple:
        kinds = inner[:1] * len(value) if isinstance(value, SEQUENCE) and ... in inner else inner
        return (
            isinstance(value, SEQUENCE)
            and len(value) == len(kinds)
            and all(map(fits, value, kinds))
        )
    if origin is dict:
        return isinstance(value, dict) and all(isinstance(key, str) for key in value)
    if origin is list:
        return isinstance(value, SEQUENCE) and all(fits(v, k) for v in value for k in inner)
    return isinstance(value, origin) and (origin is bool or not isinstance(value, bool))


def in_words(hint) -> str:
    """What `fits` asks for, as a message says it."""
    if is_dataclass(hint):
        return "a mapping"
    if isinstance(hint, types.UnionType):
        return " or ".join(map(in_words, typing.get_args(hint)))
    origin, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin is tuple and ... not in inner:
        return f"a list of {len(inner)} {WORDS[inner[0]][1]}"
    if inner and origin in (list, tuple):
        return f"a list of {WORDS[inner[0]][1]}"
    return WORDS[origin][0]


def _number(value) -> float | None:
    """A number; YAML takes `1e-3`, which has no point, for text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def from_record(record: dict, cls: type):
    """The inverse of `to_record`; the dataclass checks the values itself."""
    check_keys(record, cls)
    hints = typing.get_type_hints(cls)
    return cls(**{key: _typed(value, hints[key]) for key, value in record.items()})


def differences(one: dict, other: dict, prefix: str = "") -> dict[str, tuple]:
    """Dotted key → (value in `one`, value in `other`), where two records are not equal."""
    found = {}
    for key in dict.fromkeys((*one, *other)):
        pair = one.get(key), other.get(key)
        if all(isinstance(value, dict) for value in pair):
            found |= differences(*pair, prefix=f"{prefix}{key}.")
        elif pair[0] != pair[1]:
            found[f"{prefix}{key}"] = pair
    return found


def _typed(value, hint):
    if is_dataclass(hint) and isinstance(value, dict):
        return from_record(value, hint)
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if isinstance(value, str) and float in kinds:
        return _number(value)
    if isinstance(value, list) and any(typing.get_origin(kind) is tuple for kind in kinds):
        (entry,) = {typing.get_args(kind)[0] for kind in kinds if typing.get_origin(kind) is tuple}
        return tuple(_typed(each, entry) for each in value)
    return value


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value
