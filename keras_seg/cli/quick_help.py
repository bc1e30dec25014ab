"""`keras-seg --help` without jsonargparse, whose import takes most of the time."""

from __future__ import annotations

import shutil
import textwrap

from keras_seg.cli.verbs import ABOUT, VERBS

WIDEST, NARROWEST = 100, 40
"""Columns between which help follows the terminal."""
OPTIONS = {
    "-h, --help": "show this help",
    "--version": "print the version",
    "--traceback": "show where in the code an error arose",
    "--print_completion SHELL": "print the completion of bash, zsh, fish, tcsh or powershell",
}
"""Options of the program, before the verb."""


def quick_help() -> str:
    """The help of the program: its verbs and the options before the verb."""
    width = columns()
    verbs = {name: verb.summary for name, verb in VERBS.items()}
    return "\n".join(
        [
            "usage: keras-seg VERB ...",
            "",
            *textwrap.wrap(ABOUT, width),
            "",
            "Verbs:",
            *two_columns(verbs, width),
            "",
            "Options:",
            *two_columns(OPTIONS, width),
            "",
            *textwrap.wrap(
                "Options of a verb: keras-seg VERB --help. A first try: keras-seg demo.", width
            ),
            "",
        ]
    )


def columns() -> int:
    """The width of the terminal, within limits at which text can be read."""
    return min(max(shutil.get_terminal_size().columns - 1, NARROWEST), WIDEST)


def two_columns(texts: dict[str, str], width: int, longest: int = 26) -> list[str]:
    """Names and their texts as lines.

    Args:
        texts: name → text.
        width: columns of a line.
        longest: columns of a name up to which its text begins on the same line.
    """
    column = max((len(name) for name in texts if len(name) <= longest), default=8) + 4
    lines: list[str] = []
    for name, text in texts.items():
        indent = " " * column
        wrapped = textwrap.wrap(text, width - column, break_on_hyphens=False) or [""]
        if len(name) + 4 > column:
            lines += [f"  {name}", *(indent + line for line in wrapped)]
        else:
            lines.append(f"  {name}".ljust(column) + wrapped[0])
            lines += [indent + line for line in wrapped[1:]]
    return lines
