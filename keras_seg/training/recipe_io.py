"""Dataclasses as plain records and YAML files, and back. Names the nearest of a misspelt key."""

from __future__ import annotations

import math
import types
import typing
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from keras_seg.names import unknown_name
from keras_seg.safety.yaml_loading import EndlessNesting, load_yaml

Record = TypeVar("Record")
Hint = Any
"""A type hint of a dataclass field."""
SEQUENCE = list | tuple
TYPE_NAMES = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    bool: ("true or false", "truth values"),
    str: ("text", "texts"),
    dict: ("a mapping of names", "mappings of names"),
    list: ("a list", "lists"),
    Path: ("a path", "paths"),
    types.NoneType: ("null", "nulls"),
}
"""Type → what messages call one value, and several."""


def read_yaml(path: str | Path) -> dict:
    """Reads the entries of a recipe file.

    Raises: ValueError that names the file, if it holds no entries, or the same one twice.
    """
    try:
        text = Path(path).read_text()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a recipe: it is not a YAML file. {error}") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, name: str) -> dict:
    """Reads the entries of a recipe.

    Args:
        text: the recipe as YAML.
        name: what messages call it, such as the path of its file.

    Raises: ValueError with the name, if the text holds no entries, or the same one twice.
    """
    try:
        record = load_yaml(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{name} is not a recipe: it is not a YAML file. {error}") from error
    except EndlessNesting as error:
        raise ValueError(f"{name} is not a recipe: {error}.") from error
    if not isinstance(record, dict):
        raise ValueError(f"{name} is not a recipe: it holds no keys.")
    return record


def to_record(value: Any) -> dict:
    """Converts a dataclass to nested dictionaries and lists that `yaml.safe_dump` writes."""
    return _plain(asdict(value))


def from_record(record: dict, cls: type[Record]) -> Record:
    """The inverse of `to_record`. Values are checked by the dataclass itself.

    Raises: ValueError for wrong keys or values; TypeError if a required key is missing.
    """
    check_keys(record, cls)
    hints = typing.get_type_hints(cls)
    return cls(**{key: _typed(value, hints[key]) for key, value in record.items()})


def check_keys(record: dict, cls: type, what: str = "recipe entry", prefix: str = "") -> None:
    """Checks the keys and the types of the values of a record, also in nested dataclasses.

    Args:
        record: key → value.
        cls: the dataclass.
        what: what messages call a key.
        prefix: put before the keys in messages, such as "optimizer_options.".

    Raises: ValueError for an unknown key, with the nearest known one, and for a value of the wrong
        type.
    """
    hints = typing.get_type_hints(cls)
    for key, value in record.items():
        if key not in hints:
            raise ValueError(
                unknown_name(f"{what}{prefix and f' under {prefix[:-1]}'}", key, hints)
            )
        if is_dataclass(hints[key]) and isinstance(value, dict):
            check_keys(value, hints[key], what, f"{prefix}{key}.")
        elif not fits(value, hints[key]):
            example = ", as in [256, 256]" if "2 whole numbers" in in_words(hints[key]) else ""
            raise ValueError(
                f"{what} '{prefix}{key}' must be {in_words(hints[key])}{example}. "
                f"Received: {value!r}"
            )


def fits(value: Any, hint: Hint) -> bool:
    """Whether a value from a YAML file has the type of a dataclass field."""
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


def in_words(hint: Hint) -> str:
    """Names the type of a dataclass field in a message: "a list of 2 whole numbers"."""
    if is_dataclass(hint):
        return "a mapping"
    origin, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(map(in_words, inner))
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin is tuple and ... not in inner:
        return f"a list of {len(inner)} {TYPE_NAMES[inner[0]][1]}"
    if inner and origin in (list, tuple):
        several = [TYPE_NAMES[kind][1] for kind in typing.get_args(inner[0]) or inner[:1]]
        return f"a list of {' or '.join(several)}"
    return TYPE_NAMES[origin][0]


def differences(one: dict, other: dict, prefix: str = "") -> dict[str, tuple]:
    """Compares two records: dotted key → (value in `one`, value in `other`), where they differ."""
    different = {}
    for key in dict.fromkeys((*one, *other)):
        pair = one.get(key), other.get(key)
        if all(isinstance(value, dict) for value in pair):
            different |= differences(*pair, prefix=f"{prefix}{key}.")
        elif pair[0] != pair[1]:
            different[f"{prefix}{key}"] = pair
    return different


def _number(value: Any) -> float | None:
    """A finite number; also text such as `1e-3`, which YAML does not read as a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _typed(value: Any, hint: Hint) -> Any:
    """A value from YAML as the type of its field: a dataclass, a number or a tuple."""
    if is_dataclass(hint) and isinstance(value, dict):
        return from_record(value, hint)
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if isinstance(value, str) and float in kinds:
        return _number(value)
    if isinstance(value, list) and any(typing.get_origin(kind) is tuple for kind in kinds):
        (entry,) = {typing.get_args(kind)[0] for kind in kinds if typing.get_origin(kind) is tuple}
        return tuple(_typed(each, entry) for each in value)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value
