"""Tags of a TIFF or BigTIFF file, read without decoding its pixels."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

SUBFILE_TYPE, WIDTH, HEIGHT, EXTRA_SAMPLES, GDAL_NODATA = 254, 256, 257, 338, 42113
"""Numbers of tags."""
ALPHA = (1, 2)
"""Values of ExtraSamples for transparency: premultiplied, and not."""
REDUCED, MASK = 1, 4
"""Bits of the tag NewSubfileType: an overview of another page, and a mask of valid pixels."""
FORMATS = {
    1: "B",
    2: "s",
    3: "H",
    4: "I",
    5: "II",
    6: "b",
    8: "h",
    9: "i",
    11: "f",
    12: "d",
    13: "I",
    16: "Q",
    17: "q",
    18: "Q",
}
"""Type of a tag → format of one value in `struct`."""
LARGEST = 2**20
"""Bytes of the longest tag that is read."""
MOST_PAGES = 1000


class Tag(NamedTuple):
    """One tag.

    Attributes:
        kind: the number of its type in the TIFF specification.
        values: a tuple of its numbers, or its text.
    """

    kind: int
    values: Any


class TagError(ValueError):
    """The file is not a TIFF file, or its directories are damaged."""


def read_tags(path: Path, codes: Iterable[int]) -> list[dict[int, Tag]]:
    """The tags with these numbers, page by page.

    Raises: TagError for a file that is not a TIFF file or is damaged; OSError.
    """
    wanted, pages = set(codes), []
    with path.open("rb") as file:
        order, big, offset = _header(file)
        seen: set[int] = set()
        while offset and offset not in seen and len(pages) < MOST_PAGES:
            seen.add(offset)
            try:
                page, offset = _directory(file, order, big, offset, wanted)
            except (struct.error, UnicodeDecodeError, MemoryError, OverflowError) as error:
                raise TagError(f"its directories are damaged: {error}") from error
            pages.append(page)
    return pages


def tags_or_nothing(path: Path, codes: Iterable[int]) -> list[dict[int, Tag]]:
    """As `read_tags`; an empty list for a file without readable tags."""
    try:
        return read_tags(path, codes)
    except (TagError, OSError):
        return []


def tiff_area(path: Path) -> int:
    """Number of pixels of the first page; 0 if the tags cannot be read."""
    pages = tags_or_nothing(path, [WIDTH, HEIGHT])
    if not pages or len(pages[0]) < 2:
        return 0
    return int(pages[0][WIDTH].values[0]) * int(pages[0][HEIGHT].values[0])


def main_pages(path: Path) -> int:
    """Number of pages that are neither overviews nor masks; 0 if the tags cannot be read."""
    pages = tags_or_nothing(path, [SUBFILE_TYPE])
    kinds = [page[SUBFILE_TYPE].values[0] if SUBFILE_TYPE in page else 0 for page in pages]
    return sum(not kind & (REDUCED | MASK) for kind in kinds)


def mask_page(path: Path) -> int | None:
    """Number of the page that holds the mask of valid pixels at full size; None without one."""
    pages = tags_or_nothing(path, [SUBFILE_TYPE])
    for number, page in enumerate(pages):
        if SUBFILE_TYPE in page and page[SUBFILE_TYPE].values[0] & (REDUCED | MASK) == MASK:
            return number
    return None


def alpha_is_last(path: Path) -> bool:
    """Whether the last band of a TIFF file is transparency."""
    pages = tags_or_nothing(path, [EXTRA_SAMPLES])
    return bool(pages) and EXTRA_SAMPLES in pages[0] and pages[0][EXTRA_SAMPLES].values[-1] in ALPHA


def stated_nodata(path: Path) -> float | None:
    """The value of pixels without data that GDAL's tag states; None if there is none."""
    pages = tags_or_nothing(path, [GDAL_NODATA])
    text = pages[0][GDAL_NODATA].values if pages and GDAL_NODATA in pages[0] else None
    try:
        return float(text) if isinstance(text, str) else None
    except (TypeError, ValueError):
        return None


def _header(file: BinaryIO) -> tuple[str, bool, int]:
    """Byte order, whether it is BigTIFF, and the offset of the first directory."""
    start = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None:
        raise TagError("it is not a TIFF file")
    try:
        version = struct.unpack_from(f"{order}H", start, 2)[0]
        if version == 42:
            return order, False, struct.unpack_from(f"{order}I", start, 4)[0]
        if version == 43:
            return order, True, struct.unpack_from(f"{order}Q", start, 8)[0]
    except struct.error:
        pass
    raise TagError("it is not a TIFF file")


def _directory(
    file: BinaryIO, order: str, big: bool, offset: int, wanted: set[int]
) -> tuple[dict[int, Tag], int]:
    """The wanted tags of a page, and the offset of the next page."""
    counter, entry, pointer = ("Q", "HHQ8s", "Q") if big else ("H", "HHI4s", "I")
    file.seek(offset)
    (count,) = _unpack(file, order + counter)
    size = struct.calcsize(order + entry)
    if count * size > LARGEST:
        raise struct.error("too many tags")
    content = file.read(count * size)
    (following,) = _unpack(file, order + pointer)
    tags = {}
    for code, kind, number, inline in struct.iter_unpack(order + entry, content):
        length = struct.calcsize(order + FORMATS[kind]) * number if kind in FORMATS else 0
        if code not in wanted or not 0 < length <= LARGEST:
            continue
        if length > len(inline):
            file.seek(struct.unpack(order + pointer, inline)[0])
            inline = file.read(length)
        tags[code] = Tag(kind, _values(inline[:length], order, kind, number))
    return tags, following


def _values(content: bytes, order: str, kind: int, number: int) -> tuple | str:
    if kind == 2:
        return content.split(b"\0", 1)[0].decode("latin-1")
    each = FORMATS[kind]
    return struct.unpack(f"{order}{number * len(each)}{each[0]}", content)


def _unpack(file: BinaryIO, form: str) -> tuple[Any, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))
