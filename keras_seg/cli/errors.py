"""Errors of the command line in one or two lines, with the nearest name or an example to type."""

from __future__ import annotations

import re
import typing
from argparse import Action
from collections.abc import Mapping
from typing import Any

from keras_seg.names import nearest_name


def message_for_user(message: str, actions: Mapping[str, Action]) -> str:
    """Rewrites a message of the parser.

    Args:
        message: the message of argparse or jsonargparse.
        actions: option or positional argument, as it is typed → the parser's action for it.

    Returns: one or two lines, which name arguments as they are typed.
    """
    if rest := _after("unrecognized arguments: ", message):
        return _unknown(rest.split(), actions)
    if names := _after("required: ", message):
        missing = ", ".join(_as_typed(name, actions) for name in names.split(", "))
        return f"missing: {missing}"
    if option := re.match(r"argument (\S+): expected one argument", message):
        return f"{option[1]} needs a value: {_example(actions.get(option[1]))}."
    if value := re.match(r'(?s)Parser key "([^"]+)":\s*(.*?)(?:Got value: (.*))?$', message):
        return _wrong_value(value[1], value[2], value[3], actions)
    return message


def _unknown(words: list[str], actions: Mapping[str, Action]) -> str:
    options = [name for name in actions if name.startswith("--") and not name.endswith("+")]
    unknown = next((word for word in words if word.startswith("-")), None)
    if unknown is None or words[0] != unknown:
        output = f" Is it the output? Write --output {words[0]}." if "--output" in options else ""
        return f"unexpected argument '{words[0]}'.{output}"
    option = unknown.partition("=")[0]
    nearest = nearest_name(option, options)
    if nearest is None:  # such as --flip_horizontal for --augmentation.flip_horizontal
        ends = [name for name in options if name.endswith(f".{option.lstrip('-')}")]
        nearest = ends[0] if len(ends) == 1 else None
    hint = f" Did you mean {nearest}?" if nearest else ""
    return f"unknown option {option}.{hint}"


def _wrong_value(key: str, reason: str, received: str | None, actions: Mapping[str, Action]) -> str:
    name = _as_typed(key, actions)
    action = actions.get(name)
    if received is None or action is None:
        return f"{name}: {' '.join(reason.split())}"
    received = received.strip().splitlines()[0]
    allowed = choices(action)
    nearest = nearest_name(received, allowed) if allowed else None
    hint = f" Did you mean {nearest}?" if nearest else ""
    return f"{name} must be {_example(action)}. Received: {received}.{hint}"


def _example(action: Action | None) -> str:
    """What an option takes: "a whole number", "one of none, int8", "2 whole numbers, as in ..."."""
    from keras_seg.training.recipe_io import in_words

    hint: Any = getattr(action, "_typehint", None)
    if action is None or hint is None:
        return "a text"
    text = in_words(hint).removesuffix(" or null")
    if "2 whole numbers" in text:
        text += f", as in {action.option_strings[0]} 256 256"
    return text


def choices(action: Action) -> list[str]:
    """The values that an option or positional argument may have; none if any may be given."""
    hint = getattr(action, "_typehint", None)
    kinds = (hint, *typing.get_args(hint))
    literals = [each for each in kinds if typing.get_origin(each) is typing.Literal]
    return [str(choice) for literal in literals for choice in typing.get_args(literal)]


def _as_typed(key: str, actions: Mapping[str, Action]) -> str:
    """ "train.output" and "output" → "--output"; a positional argument keeps its name."""
    for name in (key, key.partition(".")[2]):
        if name and f"--{name}" in actions:
            return f"--{name}"
        if name and name in actions:
            return name
    return key.rpartition(".")[2]


def _after(start: str, message: str) -> str:
    return message.partition(start)[2]
