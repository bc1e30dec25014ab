"""A progress bar for reading a data set."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console
from rich.progress import track


def tracked(items: Iterable, description: str, *, total: int | None = None) -> Iterable:
    """Yields `items`, with a progress bar on stderr if that is a terminal."""
    console = Console(file=sys.stderr)
    return track(
        items,
        description,
        total=total,
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
