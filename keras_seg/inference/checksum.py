"""The checksum that an exported file carries in its card.

The runtimes do not look whether a file is as it was written: one with changed weights gives wrong
masks without a word, one with changed sizes may keep them busy for ever. The checksum is that of
the file's bytes with zeros in its own place, whatever the format, and is found without reading the
format, which may be what is damaged.
"""

from __future__ import annotations

import hashlib
import mmap
import re
from pathlib import Path

from keras_seg.card import NO_SEAL
from keras_seg.inference.runner import unreadable

PLACE = re.compile(rb'"seal": "(.{64})"', re.DOTALL)
"""Of any bytes, since the checksum itself may be what is damaged."""
OPEN = NO_SEAL.encode()


def sealed(content: bytes) -> bytes:
    """A file's bytes with their checksum in the card; the same bytes if there is no card."""
    place = PLACE.search(content)
    if place is None:
        return content
    start, end = place.span(1)
    return content[:start] + _digest(content, start, end).encode() + content[end:]


def check_seal(path: Path) -> None:
    """Raises ValueError for a file that is not as it was sealed; others carry no seal, and pass."""
    if not path.stat().st_size:  # nothing to map into memory
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        place = PLACE.search(content)
        if place is None or place[1] == OPEN:
            return
        start, end, said = *place.span(1), place[1].decode(errors="replace")
        del place  # holds the mapped memory
        found = _digest(content, start, end)
    if found != said:
        raise unreadable(
            path,
            path.suffix.lower(),
            f"its checksum is {found[:12]}… and was {said[:12]}… when it was exported",
        )


def _digest(content, start: int, end: int) -> str:
    digest = hashlib.sha256()
    with memoryview(content) as view:
        for part in (view[:start], OPEN, view[end:]):
            digest.update(part)
            if isinstance(part, memoryview):
                part.release()
    return digest.hexdigest()
