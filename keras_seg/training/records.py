"""Dataclasses as plain records and back, with the nearest name for what is misspelt."""

from __future__ import annotations

import types
import typing
from dataclasses import asdict, is_dataclass

from keras_seg.names import unknown_name


def to_record(value) -> dict:
    """A dataclass as nested dictionaries and lists, as YAML's safe writer takes them."""
    return _plain(asdict(value))


def check_keys(record: dict, cls: type, what: str = "recipe entry", prefix: str = "") -> None:
    """Raises ValueError for a key that `cls` or a dataclass in it lacks, with the nearest one."""
    hints = typing.get_type_hints(cls)
    for key, value in record.items():
        if key not in hints:
            raise ValueError(unknown_name(what, f"{prefix}{key}", [f"{prefix}{k}" for k in hints]))
        if is_dataclass(hints[key]) and isinstance(value, dict):
            check_keys(value, hints[key], what, f"{prefix}{key}.")


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
    if isinstance(value, list) and any(typing.get_origin(kind) is tuple for kind in kinds):
        return tuple(value)
    return value


def _plain(value):
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
