"""What verbs answer: exit codes, lines on the terminal, reports in files."""

from __future__ import annotations

import sys
from pathlib import Path

DONE, REFUSED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


def say(what, **options) -> None:
    """Prints text or a table as it is; the options are those of rich's `Console.print`."""
    from rich.console import Console

    # a path may hold what would be markup: runs/a[/b]
    Console(markup=False, emoji=False).print(what, **options)


def complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


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

    from keras_seg.drafts import write_text

    if path is not None:
        write_text(path, json.dumps(record, indent=1) + "\n")
