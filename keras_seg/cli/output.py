"""Output of the verbs: exit codes, text on the terminal, and JSON reports."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from keras_seg.safety.text import VisibleTable, visible

DONE, REFUSED, WRONG_INPUT, INTERRUPTED, CLOSED_PIPE = 0, 1, 2, 130, 141
"""Exit codes: done; refused or partly failed; wrong input; interrupted by Ctrl-C; output closed."""


def say(content: Any, **options: Any) -> None:
    """Prints text or a rich table; the options are those of rich's `Console.print`."""
    from rich.console import Console

    # without markup, so that a path such as runs/a[/b] is printed as it is
    console = Console(markup=False, emoji=False)
    text = visible(content) if isinstance(content, str) else VisibleTable(content)
    console.print(text, **options)


def complain(text: str) -> None:
    """Writes a line to stderr."""
    sys.stderr.write(f"{visible(text)}\n")


def write_json(path: Path | None, record: dict) -> None:
    """Writes a record as JSON; does nothing without a path."""
    import json

    from keras_seg.atomic_files import write_text

    if path is not None:
        write_text(path, json.dumps(record, indent=1) + "\n")
