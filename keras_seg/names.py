"""What every subpackage shares: the ignore class, and the message for an unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

IGNORE_CLASS = 255
"""Mask value that losses and metrics ignore."""
SHORTEST_START = 4
"""The number of letters from which a name is recognised by its start."""
SIZINGS = ("auto", "resize", "tile")
"""How images are fitted to a network: as in its training, resized, or in overlapping windows."""


def unknown_name(what: str, received: str, known: Iterable[str]) -> str:
    """The message for an unknown name, with the nearest known one.

    Example:
        >>> unknown_name("model", "unett", ["unet", "danet"])
        "Unknown model 'unett'. Did you mean 'unet'? Known: danet, unet."
    """
    known = sorted(known)
    nearest = nearest_name(received, known)
    hint = f" Did you mean {nearest!r}?" if nearest else ""
    return f"Unknown {what} {received!r}.{hint} Known: {', '.join(known)}."


def nearest_name(received: str, known: Iterable[str]) -> str | None:
    """The known name most like the received one, or one that starts with it; None if none does."""
    plain = str(received).lower().replace("+", "plus")
    of_lower = {name.lower(): name for name in sorted(known)}
    nearest = difflib.get_close_matches(plain, of_lower, n=1)
    if not nearest and len(plain) >= SHORTEST_START:
        nearest = [name for name in of_lower if name.startswith(plain)]
    return next((of_lower[name] for name in nearest), None)


def nearest_path_hint(path: Path, *, folders_only: bool = False) -> str:
    """The end of a message about a missing path: " Did you mean DIR/NAME?", or nothing.

    Args:
        path: the path that does not exist.
        folders_only: whether only folders are suggested.
    """
    if not path.parent.is_dir():
        return ""
    beside = [each.name for each in path.parent.iterdir() if not folders_only or each.is_dir()]
    nearest = nearest_name(path.name, [name for name in beside if not name.startswith(".")])
    return f" Did you mean {path.parent / nearest}?" if nearest else ""
