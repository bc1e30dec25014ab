"""The checksum that an exported file carries in its card, in the field "seal".

The runtimes do not notice a damaged file: changed weights give wrong masks without an error, and
changed sizes may keep a runtime busy for ever. The checksum is the SHA-256 of the file's bytes with
zeros in its own place, whatever the format. It is found in the bytes without parsing the format,
since the format may be what is damaged.
"""

from __future__ import annotations

import hashlib
import mmap
import re
from pathlib import Path

from keras_seg.card import EMPTY_CHECKSUM
from keras_seg.model_paths import unreadable_file

CHECKSUM_FIELD = re.compile(rb'"seal": "(.{64})"', re.DOTALL)
"""Matches any 64 bytes, since the checksum itself may be damaged."""
PLACEHOLDER = EMPTY_CHECKSUM.encode()


def with_checksum(content: bytes) -> bytes:
    """The bytes of a file with their checksum in the card; unchanged if there is no card."""
    return b"".join(parts_with_checksum(content))


def parts_with_checksum(content: bytes) -> tuple[bytes | memoryview, ...]:
    """What `with_checksum` returns in parts, which need no second copy of the file."""
    field = CHECKSUM_FIELD.search(content)
    if field is None:
        return (content,)
    start, end = field.span(1)
    view = memoryview(content)
    return view[:start], _digest(content, start, end).encode(), view[end:]


def check_checksum(path: Path) -> None:
    """Raises ValueError for a file that changed since its export; files without checksum pass."""
    if not path.stat().st_size:  # an empty file cannot be mapped into memory
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        field = CHECKSUM_FIELD.search(content)
        if field is None or field[1] == PLACEHOLDER:
            return
        start, end = field.span(1)
        expected = field[1].decode(errors="replace")
        del field  # it holds the mapped memory
        actual = _digest(content, start, end)
    if actual != expected:
        raise unreadable_file(
            path,
            path.suffix.lower(),
            f"its checksum is {actual[:12]}… and was {expected[:12]}… when it was exported",
        )


def _digest(content: bytes | mmap.mmap, start: int, end: int) -> str:
    digest = hashlib.sha256()
    with memoryview(content) as view:
        for part in (view[:start], PLACEHOLDER, view[end:]):
            digest.update(part)
            if isinstance(part, memoryview):
                part.release()
    return digest.hexdigest()
