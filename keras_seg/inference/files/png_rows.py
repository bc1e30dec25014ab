"""PNG files written row by row; Pillow would need the whole picture in memory."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

GREY, COLOUR, PALETTE = 0, 2, 3
"""Colour types of the PNG specification."""
UP = 2
"""Filter: each row is stored as its difference from the row above."""


class PngRows:
    """Writes an 8-bit PNG from top to bottom.

    Args:
        path: the file.
        size: (height, width) in pixels.
        palette: (n, 3) uint8 colours of the values, for rows (n, W); None for grey or RGB rows.
        colour: whether rows are RGB (n, W, 3); otherwise they are (n, W).
    """

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        *,
        palette: np.ndarray | None = None,
        colour: bool = False,
    ) -> None:
        self._height, self._width = size
        self._filter = UP if colour else 0
        self._written, self._above = 0, None
        # runs of equal pixels alone: masks of about the size of level 6, in a third of the time
        level, strategy = (3, zlib.Z_DEFAULT_STRATEGY) if colour else (6, zlib.Z_RLE)
        self._zlib = zlib.compressobj(level, strategy=strategy)
        self._file = path.open("wb")
        self._file.write(b"\x89PNG\r\n\x1a\n")
        kind = COLOUR if colour else GREY if palette is None else PALETTE
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", self._width, self._height, 8, kind, 0, 0, 0))
        if palette is not None:
            self._chunk(b"PLTE", palette.astype(np.uint8).tobytes())

    def write(self, rows: np.ndarray) -> None:
        """Adds rows (n, W) or (n, W, 3) uint8."""
        flat = np.ascontiguousarray(rows, np.uint8).reshape(len(rows), -1)
        stored = flat
        if self._filter == UP:
            above = np.zeros_like(flat[:1]) if self._above is None else self._above
            stored = flat - np.concatenate([above, flat[:-1]])
            self._above = flat[-1:].copy()
        filter_bytes = np.full((len(flat), 1), self._filter, np.uint8)
        self._chunk(b"IDAT", self._zlib.compress(np.hstack([filter_bytes, stored]).tobytes()))
        self._written += len(flat)

    def close(self) -> None:
        """Completes the file; without its last row it stays an invalid picture."""
        if self._file.closed:
            return
        try:
            if self._written == self._height:
                self._chunk(b"IDAT", self._zlib.flush())
                self._chunk(b"IEND", b"")
        finally:
            self._file.close()

    def _chunk(self, kind: bytes, content: bytes) -> None:
        if kind == b"IDAT" and not content:
            return
        self._file.write(struct.pack(">I", len(content)) + kind + content)
        self._file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))
