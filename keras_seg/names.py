"""What every subpackage shares: the ignore class, and the message for an unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

IGNORE_CLASS = 255
"""Mask value that losses and metrics ignore."""
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
    """The known name that is most like the received one; None if none is."""
    plain = str(received).lower().replace("+", "plus")
    of_lower = {name.lower(): name for name in sorted(known)}
    return next((of_lower[name] for name in difflib.get_close_matches(plain, of_lower, n=1)), None)
