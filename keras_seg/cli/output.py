"""Output of the verbs: exit codes, text on the terminal, and JSON reports."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TextIO

from keras_seg.safety.text import VisibleTable, visible

DONE, REFUSED, WRONG_INPUT, INTERRUPTED, CLOSED_PIPE = 0, 1, 2, 130, 141
"""Exit codes: done; refused or partly failed; wrong input; interrupted by Ctrl-C; output closed."""

STANDARD_STREAM = "-"
"""A file name that means standard input or output."""


def say(content: Any, **options: Any) -> None:
    """Prints text or a rich table; the options are those of rich's `Console.print`."""
    from rich.console import Console

    # without markup, so that a path such as runs/a[/b] is printed as it is
    console = Console(markup=False, emoji=False)
    text = visible(content) if isinstance(content, str) else VisibleTable(content)
    console.print(text, **options)


def tell(text: str) -> None:
    """Writes a line about what is being done to stderr, beside the results on standard output."""
    sys.stderr.write(f"{visible(text)}\n")


def complain(text: str) -> None:
    """Writes a line about what is wrong to stderr."""
    sys.stderr.write(f"{visible(text)}\n")


def write_json(path: Path | None, record: dict) -> None:
    """Writes a record as JSON, to standard output for `-`; does nothing without a path."""
    import json

    from keras_seg.atomic_files import write_text

    if path is None:
        return
    text = json.dumps(record, indent=1) + "\n"
    if str(path) == STANDARD_STREAM:
        result_stream().write(text)
    else:
        write_text(path, text)


_kept: list[TextIO] = []
"""Standard output, while it is kept for a result."""


def result_stream() -> TextIO:
    """Standard output for a result, also while text goes to standard error."""
    return _kept[-1] if _kept else sys.stdout


@contextmanager
def text_on_stderr() -> Iterator[None]:
    """Sends all text to standard error, so that standard output has a result alone."""
    _kept.append(sys.stdout)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _kept.pop()
