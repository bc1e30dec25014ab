"""`keras-seg VERB --help`: arguments first, options by topic, wrapped at the terminal's width."""

from __future__ import annotations

import textwrap
import typing
from argparse import SUPPRESS, Action
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_seg.cli.quick_help import columns, two_columns
from keras_seg.cli.typed_arguments import alternatives

NOT_LISTED = "Path to a configuration file."
"""Help of the options that jsonargparse adds for a group, such as --augmentation FILE."""
PLACEHOLDERS = {int: "N", float: "NUMBER", str: "TEXT", bool: "true|false", Path: "PATH"}
LAST_TOPIC = "More options"


def verb_help(
    verb: str,
    description: str,
    actions: Sequence[Action],
    required: Collection[str],
    topics: Mapping[str, Iterable[str]],
) -> str:
    """The help of one verb.

    Args:
        verb: name of the verb.
        description: what it does, in one sentence.
        actions: the arguments of its parser.
        required: names of the arguments that have to be given.
        topics: title → names of the options below it, without hyphens, in this order; a name with a
            final dot stands for all options that begin with it. Options without a topic are last.
    """
    width = columns()
    shown = [action for action in actions if _is_listed(action)]
    arguments = [action for action in shown if not action.option_strings]
    options = [action for action in shown if action.option_strings]
    needed = [
        f"{_name(action)} {_placeholder(action)}" for action in options if action.dest in required
    ]
    positional = [_argument_usage(action) for action in arguments]
    usage = " ".join([f"usage: keras-seg {verb}", *positional, *needed, "[options]"])
    parts = [textwrap.fill(usage, width, subsequent_indent=" " * 8), ""]
    parts += textwrap.wrap(description, width)
    if arguments:
        parts += ["", "Arguments:", *_lines([(action.dest, action) for action in arguments], width)]
    for title, members in _by_topic(options, topics):
        entries = [
            (f"{_names(action)} {_placeholder(action)}".rstrip(), action) for action in members
        ]
        parts += ["", f"{title}:", *_lines(entries, width)]
    return "\n".join(parts) + "\n"


def _argument_usage(action: Action) -> str:
    """A positional argument in the usage: `file`, `inputs ...`, `[name]`."""
    if action.nargs == "+":
        return f"{action.dest} ..."
    return f"[{action.dest}]" if action.nargs == "?" else action.dest


def _name(action: Action) -> str:
    """The first long spelling of an option."""
    return next(option for option in action.option_strings if option.startswith("--"))


def _names(action: Action) -> str:
    """All spellings of an option, as in `-h, --help`; `--options.NAME` for a mapping."""
    spellings = [each for each in action.option_strings if not each.endswith("+")]
    kinds = alternatives(getattr(action, "_typehint", None))
    is_mapping = any((typing.get_origin(kind) or kind) is dict for kind in kinds[:1])
    return ", ".join(spellings) + (".NAME" if is_mapping else "")


def _placeholder(action: Action) -> str:
    """What stands for the value of an option: `N`, `HEIGHT WIDTH`, `true|false`, `none|int8`."""
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    hint: Any = getattr(action, "_typehint", None)
    if hint is None:
        return "FILE" if action.metavar in (None, "CONFIG") else str(action.metavar)
    kinds = [kind for kind in alternatives(hint) if kind is not type(None)]
    shown = _placeholder_of(kinds[0])
    takes_several = any(typing.get_origin(kind) is list for kind in kinds[1:])
    return f"{shown} ..." if takes_several and kinds[0] is float else shown


def _placeholder_of(kind: Any) -> str:
    origin, inner = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is typing.Literal:
        return "|".join(map(str, inner))
    if kind == tuple[int, int]:
        return "HEIGHT WIDTH"
    if origin is dict:
        return "VALUE"
    if origin in (list, tuple):
        several = [each for each in alternatives(inner[0]) if each in PLACEHOLDERS] if inner else []
        return f"{PLACEHOLDERS[several[0]] if several else 'VALUE'} ..."
    return PLACEHOLDERS.get(kind, "TEXT")


def _text_of(action: Action) -> str:
    """The help of an argument with its default, as `... (default 8)`."""
    text = (action.help or "").strip()
    if ". " not in text:
        text = text.removesuffix(".")
    default = action.default
    has_default = default is not None and default not in (SUPPRESS, {}, [], ())
    if not has_default or action.nargs == 0 or not action.option_strings:
        return text
    return text if "by default" in text else f"{text} (default {_as_typed(default)})"


def _is_listed(action: Action) -> bool:
    return action.help not in (SUPPRESS, NOT_LISTED)


def _by_topic(
    options: Sequence[Action], topics: Mapping[str, Iterable[str]]
) -> Iterable[tuple[str, list[Action]]]:
    """Each title with its options; options without a topic, and --help, at the end."""
    left = {_name(action)[2:]: action for action in options}
    for title, wanted in topics.items():
        members = []
        for each in wanted:
            starts = [key for key in left if each.endswith(".") and key.startswith(each)]
            members += [left.pop(key) for key in starts or [each] if key in left]
        if members:
            yield title, members
    yield (LAST_TOPIC if topics else "Options"), [*left.values()]


def _lines(entries: Sequence[tuple[str, Action]], width: int) -> list[str]:
    return two_columns({written: _text_of(action) for written, action in entries}, width)


def _as_typed(value: Any) -> str:
    """A default as it is typed on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return " ".join(map(_as_typed, value))
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
