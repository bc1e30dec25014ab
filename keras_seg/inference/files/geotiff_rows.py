"""GeoTIFF files written row by row: masks, probabilities and uncertainty with their place."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from keras_seg.data.reading.georeference import GeoReference
from keras_seg.data.reading.tiff_tags import FORMATS, GDAL_NODATA, Tag

GDAL_METADATA = 42112
SHORT, LONG, LONG8, ASCII = 3, 4, 16, 2
"""Types of a tag."""
DEFLATE, MIN_IS_BLACK, PALETTE, CONTIGUOUS = 8, 1, 3, 1
SAMPLE_FORMATS = {"u": 1, "f": 3}
STRIP_BYTES = 2**18
"""Uncompressed bytes of a strip, about."""
LARGEST_CLASSIC = 2**32 - 2**26
"""Uncompressed bytes from which a file is BigTIFF, because classic TIFF has 32-bit offsets."""


class GeoTiffRows:
    """Writes a deflate-compressed GeoTIFF from top to bottom.

    Args:
        path: the file.
        shape: (height, width, bands).
        dtype: uint8, uint16, uint32 or float32.
        place: the place of the image, whose tags are copied.
        nodata: value of pixels without data, as GDAL's tag states it; None for none.
        palette: (n, 3) uint8 colours of the values, for one uint8 band.
        names: name of each band.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int, int],
        dtype: type[np.generic],
        place: GeoReference,
        *,
        nodata: float | None = None,
        palette: np.ndarray | None = None,
        names: tuple[str, ...] = (),
    ) -> None:
        self._shape, self._dtype = shape, np.dtype(dtype).newbyteorder("<")
        row_bytes = shape[1] * shape[2] * self._dtype.itemsize
        self._step = min(shape[0], max(1, STRIP_BYTES // row_bytes))
        self._big = shape[0] * row_bytes > LARGEST_CLASSIC
        self._tags = dict(place.tags) | self._plain_tags(nodata, palette, names)
        self._offsets: list[int] = []
        self._sizes: list[int] = []
        self._rows: list[np.ndarray] = []
        self._waiting = 0
        self._file = path.open("wb")
        version = struct.pack("<HHHQ", 43, 8, 0, 0) if self._big else struct.pack("<HI", 42, 0)
        self._file.write(b"II" + version)  # with the offset of the tags, which `close` fills in

    def write(self, rows: np.ndarray) -> None:
        """Adds rows (n, W) or (n, W, bands)."""
        self._rows.append(np.asarray(rows, self._dtype).reshape(len(rows), *self._shape[1:]))
        self._waiting += len(rows)
        if self._waiting >= self._step:
            waiting = np.concatenate(self._rows)
            whole = self._waiting // self._step * self._step
            for start in range(0, whole, self._step):
                self._write_strip(waiting[start : start + self._step])
            self._rows, self._waiting = [waiting[whole:]], self._waiting - whole

    def close(self) -> None:
        """Completes the file; without its last row it stays an invalid file."""
        if self._file.closed:
            return
        try:
            if self._waiting:
                self._write_strip(np.concatenate(self._rows))
                self._rows, self._waiting = [], 0
            if len(self._offsets) == -(-self._shape[0] // self._step):
                self._write_directory()
        finally:
            self._file.close()

    def _write_strip(self, rows: np.ndarray) -> None:
        content = zlib.compress(np.ascontiguousarray(rows).tobytes(), 6)
        self._offsets.append(self._file.tell())
        self._sizes.append(len(content))
        self._file.write(content)

    def _plain_tags(
        self, nodata: float | None, palette: np.ndarray | None, names: tuple[str, ...]
    ) -> dict[int, Tag]:
        height, width, bands = self._shape
        bits = 8 * self._dtype.itemsize
        tags = {
            256: Tag(LONG, (width,)),
            257: Tag(LONG, (height,)),
            258: Tag(SHORT, (bits,) * bands),
            259: Tag(SHORT, (DEFLATE,)),
            262: Tag(SHORT, (MIN_IS_BLACK if palette is None else PALETTE,)),
            277: Tag(SHORT, (bands,)),
            278: Tag(LONG, (self._step,)),
            284: Tag(SHORT, (CONTIGUOUS,)),
            339: Tag(SHORT, (SAMPLE_FORMATS[self._dtype.kind],) * bands),
        }
        if palette is not None:
            tags[320] = Tag(SHORT, tuple((palette.T.astype(int) * 257).ravel().tolist()))
        if bands > 1:
            tags[338] = Tag(SHORT, (0,) * (bands - 1))
        if nodata is not None:
            tags[GDAL_NODATA] = Tag(ASCII, f"{nodata:g}")
        if names:
            tags[GDAL_METADATA] = Tag(ASCII, _band_names(names))
        return tags

    def _write_directory(self) -> None:
        """Writes the tags behind the strips, and their offset into the header."""
        pointer, counter, entry = ("Q", "Q", "<HHQ") if self._big else ("I", "H", "<HHI")
        kind, room = (LONG8, 8) if self._big else (LONG, 4)
        tags = self._tags | {
            273: Tag(kind, tuple(self._offsets)),
            279: Tag(kind, tuple(self._sizes)),
        }
        directory = struct.pack(f"<{counter}", len(tags))
        for code, tag in sorted(tags.items()):
            content = _content(tag)
            number = len(content) // struct.calcsize(f"<{FORMATS[tag.kind]}")
            if len(content) > room:
                self._file.write(b"\0" * (self._file.tell() % 2))
                place = struct.pack(f"<{pointer}", self._file.tell())
                self._file.write(content)
                content = place
            directory += struct.pack(entry, code, tag.kind, number) + content.ljust(room, b"\0")
        self._file.write(b"\0" * (self._file.tell() % 2))
        start = self._file.tell()
        self._file.write(directory + struct.pack(f"<{pointer}", 0))
        self._file.seek(8 if self._big else 4)
        self._file.write(struct.pack(f"<{pointer}", start))


def _content(tag: Tag) -> bytes:
    if isinstance(tag.values, str):
        return tag.values.encode("latin-1", "replace") + b"\0"
    each = FORMATS[tag.kind]
    return struct.pack(f"<{len(tag.values)}{each[0]}", *tag.values)


def _band_names(names: tuple[str, ...]) -> str:
    """The names as GDAL's metadata has them; characters beyond ASCII as references."""
    items = (
        f'<Item name="DESCRIPTION" sample={quoteattr(str(number))} role="description">'
        f"{escape(name).encode('ascii', 'xmlcharrefreplace').decode()}</Item>"
        for number, name in enumerate(names)
    )
    return f"<GDALMetadata>{''.join(items)}</GDALMetadata>"
