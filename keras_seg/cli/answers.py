"""What verbs answer: exit codes, lines on the terminal, reports in files."""

from __future__ import annotations

import re
import sys
from pathlib import Path

DONE, REFUSED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What steers a terminal or turns the direction of writing; names of classes and files hold it."""


def visible(text: str) -> str:
    """The text with what would steer a terminal written out, such as `\\x1b`."""
    return UNSEEN.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def say(what, **options) -> None:
    """Prints text or a table as it is; the options are those of rich's `Console.print`."""
    from rich.console import Console
    from rich.segment import Segment

    class Visible:
        """A table, of which only the styles steer the terminal."""

        def __rich_console__(self, console, options):
            for text, style, control in console.render(what, options):
                yield Segment(text if control else visible(text), style, control)

    # a path may hold what would be markup: runs/a[/b]
    console = Console(markup=False, emoji=False)
    console.print(visible(what) if isinstance(what, str) else Visible(), **options)


def complain(text: str) -> None:
    sys.stderr.write(f"{visible(text)}\n")


def check_apart(**paths: Path | None) -> None:
    """Raises ValueError if two arguments name one file, which would be written over."""
    seen: dict[Path, str] = {}
    for name, path in paths.items():
        if path is None:
            continue
        other = seen.setdefault(Path(path).resolve(), name)
        if other != name:
            raise ValueError(
                f"{name} contradicts {other}: both are {path}, which would be written over. Give "
                f"{name} another name."
            )


def check_counts(**counts: int | None) -> None:
    """Raises ValueError for a count below 1, before a model is loaded."""
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{name} must be at least 1. Received: {count}. Leave it out for all.")


def write_json(path: Path | None, record: dict) -> None:
    import json

    from keras_seg.atomic_files import write_text

    if path is not None:
        write_text(path, json.dumps(record, indent=1) + "\n")
