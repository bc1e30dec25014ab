"""The bar that shows how far the reading of a data set is."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from rich.console import Console
from rich.progress import track


def tracked(items: Iterable, description: str, *, total: int | None = None) -> Iterable:
    """Yields `items`, with a bar on the error stream where that is a terminal."""
    console = Console(file=sys.stderr)
    return track(
        items,
        description,
        total=total,
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
