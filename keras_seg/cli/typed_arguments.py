"""Arguments as people type them, rewritten as the parser takes them.

Options may be spelt with hyphens, and a list of numbers in any usual form: `--crop 128 128`,
`--crop 128x128`, `--crop 128,128`, `--crop [128,128]`, and `--crop 128` for a square.
"""

from __future__ import annotations

import re
import types
import typing
from argparse import Action
from collections.abc import Iterable, Mapping
from typing import Any

NUMBER = r"(?:[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|null|none|free)"
BETWEEN = r"x\u00d7,"  # the multiplication sign, too
NUMBERS = re.compile(
    rf"[\[(]?\s*{NUMBER}(?:\s*[{BETWEEN}\s]\s*{NUMBER})*\s*[\]){BETWEEN}]?", re.IGNORECASE
)
"""What may stand in one argument: one number or several, with or without brackets."""


def as_parsed(arguments: Iterable[str], actions: Mapping[str, Action]) -> list[str]:
    """Rewrites the arguments of a verb.

    Args:
        arguments: the arguments as typed.
        actions: option, such as `--crop` → the parser's action for it.

    Returns: the arguments with the options' own spelling, and lists of numbers as `[128,128]`.

    Example:
        >>> from argparse import ArgumentParser
        >>> epochs = ArgumentParser().add_argument("--max_epochs")
        >>> as_parsed(["--max-epochs", "3"], {"--max_epochs": epochs})
        ['--max_epochs', '3']
    """
    waiting, parsed = list(arguments), []
    while waiting:
        typed = waiting.pop(0)
        if typed == "--":
            return [*parsed, typed, *waiting]
        option, equals, value = typed.partition("=")
        option = own_spelling(option, actions)
        kind = _number_list(actions[option]) if option in actions else None
        if kind is None:
            parsed.append(f"{option}{equals}{value}")
            continue
        values = [value] if equals else _take_numbers(waiting, kind)
        alone = len(values) == 1 and _takes_one_number(actions[option])
        parsed += [option, *(values if alone else [as_list(values, kind)] if values else [])]
    return parsed


def own_spelling(option: str, known: Iterable[str]) -> str:
    """`--batch-size` → `--batch_size`, if that is what the option is called."""
    if not option.startswith("--") or option in known:
        return option
    underscores = "--" + option[2:].replace("-", "_")
    return underscores if underscores in known else option


def as_list(values: list[str], kind: tuple[type, int | None]) -> str:
    """Numbers as typed → `[128,128]`; other text is returned as it is."""
    text = " ".join(values)
    if not NUMBERS.fullmatch(text):
        return text
    numbers = re.findall(NUMBER, text, re.IGNORECASE)
    if len(numbers) == 1 and numbers[0].lower() in ("null", "none"):
        return "null"
    if len(numbers) == 1 and kind == (int, 2):
        numbers *= 2  # a square
    numbers = ["null" if each.lower() in ("none", "free") else each for each in numbers]
    return f"[{','.join(numbers)}]"


def _take_numbers(waiting: list[str], kind: tuple[type, int | None]) -> list[str]:
    """Takes the numbers of an option from the front of the arguments."""
    values: list[str] = []
    while waiting and NUMBERS.fullmatch(waiting[0]) and not (values and _is_complete(values, kind)):
        values.append(waiting.pop(0))
    return values


def _is_complete(values: list[str], kind: tuple[type, int | None]) -> bool:
    """Whether an option has all its numbers, so that what follows is another argument."""
    text = " ".join(values)
    if text[0] in "[(":
        return text[-1] in "])"
    numbers = re.findall(NUMBER, text, re.IGNORECASE)
    return (len(values) == 1 and len(numbers) > 1) or len(numbers) == kind[1]


def _number_list(action: Action) -> tuple[type, int | None] | None:
    """(type, count or None for any) of the numbers that an option takes; None for others."""
    for hint in _alternatives(getattr(action, "_typehint", None)):
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        if origin not in (list, tuple) or not inner:
            continue
        numbers = [kind for kind in _alternatives(inner[0]) if kind in (int, float)]
        if numbers:
            free = origin is list or ... in inner
            return numbers[0], None if free else len(inner)
    return None


def _takes_one_number(action: Action) -> bool:
    """Whether an option takes a number alone, beside a list of numbers."""
    return any(kind in (int, float) for kind in _alternatives(getattr(action, "_typehint", None)))


def _alternatives(hint: Any) -> tuple[Any, ...]:
    """The types of a union; a type alone as a tuple of one."""
    is_union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    return typing.get_args(hint) if is_union else (hint,)
