"""Arguments as people type them, rewritten as the parser takes them.

Options may be spelt with hyphens, and a list of numbers in any usual form: `--crop 128 128`,
`--crop 128x128`, `--crop 128,128`, `--crop [128,128]`, and `--crop 128` for a square. A list of
names is `--classes road car`, `--classes road,car` or `--classes [road,car]`.
"""

from __future__ import annotations

import json
import re
import types
import typing
from argparse import Action
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

NUMBER = r"(?:[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|null|none|free)"
BETWEEN = r"x\u00d7*,"  # the multiplication sign, too
NUMBERS = re.compile(
    rf"[\[(]?\s*{NUMBER}(?:\s*[{BETWEEN}\s]\s*{NUMBER})*\s*[\]){BETWEEN}]?", re.IGNORECASE
)
"""What may stand in one argument: one number or several, with or without brackets."""


class Values(NamedTuple):
    """The values of an option that takes a list."""

    kind: type
    """int, float or str."""
    count: int | None = None
    """The number of values; None for any."""
    alone: bool = False
    """Whether one number stays a number."""
    separate: bool = False
    """Whether the parser takes each number as an argument of its own."""


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
        kind = _values_of(option, actions)
        if kind is None:
            parsed.append(f"{option}{equals}{value}")
            continue
        take = _take_names if kind.kind is str else _take_numbers
        values = take([value] if equals else [], waiting, kind)
        if not values:
            parsed.append(option)
        elif kind.separate:
            parsed += [option, *_numbers(" ".join(values))]
        else:
            parsed += [option, as_list(values, kind)]
    return parsed


def own_spelling(option: str, known: Mapping[str, Action]) -> str:
    """`--batch-size` → `--batch_size`, if that is what the option is called."""
    if not option.startswith("--") or option in known:
        return option
    underscores = "--" + option[2:].replace("-", "_")
    is_known = underscores in known or _is_entry(underscores, known)
    return underscores if is_known else option


def as_list(values: list[str], kind: Values) -> str:
    """Values as typed → `[128,128]` or `["road","car"]`; other text is returned as it is."""
    text = " ".join(values)
    if kind.kind is str:
        if text.startswith("[") or text in ("", "null") or text.isdigit():
            return text  # a number is not a name: the parser refuses it
        if text.startswith("{"):
            return f"[{text}]"  # one mapping
        names = ",".join(values).split(",")
        return json.dumps([name.strip() for name in names if name.strip()])
    if not NUMBERS.fullmatch(text):
        return text
    numbers = _numbers(text)
    if len(numbers) == 1 and (kind.alone or numbers[0] == "null"):
        return numbers[0] if text[0] not in "[(" else text
    if len(numbers) == 1 and kind[:2] == (int, 2):
        numbers *= 2  # a square
    return f"[{','.join(numbers)}]"


def _numbers(text: str) -> list[str]:
    """The numbers in a text; null for a free size. Other text is returned as one value."""
    if not NUMBERS.fullmatch(text):
        return [text]
    numbers = re.findall(NUMBER, text, re.IGNORECASE)
    return ["null" if each.lower() in ("none", "free") else each for each in numbers]


def _take_numbers(values: list[str], waiting: list[str], kind: Values) -> list[str]:
    """Adds the numbers of an option from the front of the arguments, after `=` only to a pair."""
    if values and (kind.count is None or not NUMBERS.fullmatch(values[0])):
        return values
    while waiting and not (values and _is_complete(values, kind)):
        times = len(waiting) > 1 and re.fullmatch(f"[{BETWEEN}]", waiting[0], re.IGNORECASE)
        if values and times and NUMBERS.fullmatch(waiting[1]):  # 128 x 128
            values.append(waiting.pop(0))
        elif not NUMBERS.fullmatch(waiting[0]):
            break
        values.append(waiting.pop(0))
    return values


def _is_complete(values: list[str], kind: Values) -> bool:
    """Whether an option has all its numbers, so that what follows is another argument."""
    text = " ".join(values)
    if text[0] in "[(":
        return text[-1] in "])"
    numbers = _numbers(text)
    return (len(values) == 1 and len(numbers) > 1) or len(numbers) == kind.count


def _take_names(values: list[str], waiting: list[str], kind: Values) -> list[str]:
    """Adds the names of an option up to the next option, or up to the end of a list."""
    is_complete = bool(values)  # after an equals sign
    while not is_complete and waiting and not waiting[0].startswith("-"):
        values.append(waiting.pop(0))
        last = values[-1]
        if values[0].startswith("["):
            is_complete = last.endswith("]")
        else:
            is_complete = "," in last[:-1] or last == "null"
    return values


def _values_of(option: str, actions: Mapping[str, Action]) -> Values | None:
    """What an option takes, if that is a list; None for others."""
    if _is_entry(option, actions):
        return Values(float, alone=True)
    action = actions.get(option)
    kinds = alternatives(getattr(action, "_typehint", None))
    if action is None or dict in kinds or option.endswith("+"):
        return None
    if isinstance(action.nargs, int) and kinds[0] in (int, float):
        return Values(kinds[0], action.nargs, separate=True)
    alone = any(kind in (int, float) for kind in kinds)
    for hint in kinds:
        origin, inner = typing.get_origin(hint) or hint, typing.get_args(hint) or (float,)
        if origin not in (list, tuple):
            continue
        if str in alternatives(inner[0]):
            return Values(str)
        numbers = [kind for kind in alternatives(inner[0]) if kind in (int, float)]
        if numbers:
            free = origin is list or ... in inner
            return Values(numbers[0], None if free else len(inner), alone)
    return None


def _is_entry(option: str, actions: Mapping[str, Action]) -> bool:
    """Whether an option is an entry of a mapping, such as --model_options.widths."""
    mapping, _, key = option.partition(".")
    if not key or option in actions or mapping not in actions:
        return False
    kinds = alternatives(getattr(actions[mapping], "_typehint", None))
    return any(kind in (dict, dict[str, Any]) for kind in kinds) and str not in kinds


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The types of a union; a type alone as a tuple of one."""
    is_union = isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union
    return typing.get_args(hint) if is_union else (hint,)
