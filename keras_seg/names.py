"""Words that every room shares: the ignore class, and what is said of a name that is unknown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

IGNORE_CLASS = 255
"""Mask value that no loss and no metric counts."""
SIZINGS = ("auto", "resize", "tile")
"""How an image meets a network: as in its training, resized, or in overlapping windows."""


def unknown_name(what: str, received: str, known: Iterable[str]) -> str:
    """ "Unknown model 'unett'. Did you mean 'unet'? Known: deeplabv3plus, unet." """
    known = sorted(known)
    wanted = str(received).lower().replace("+", "plus")
    nearest = difflib.get_close_matches(wanted, known, n=1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return f"Unknown {what} {received!r}.{hint} Known: {', '.join(known)}."
