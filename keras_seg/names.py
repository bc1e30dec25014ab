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
    plain = str(received).lower().replace("+", "plus")
    nearest = difflib.get_close_matches(plain, known, n=1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"Unknown {what} {received!r}.{hint} Known: {', '.join(known)}."
