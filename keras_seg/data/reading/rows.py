"""Large images, read a few rows at a time."""

from __future__ import annotations

import abc
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_seg.data.reading.arrays import (
    ARRAY_SUFFIX,
    TIFF_SUFFIXES,
    missing_codec,
    needs_codec,
    with_channels,
)
from keras_seg.data.reading.images import orientation, read_image


class ImageRows(abc.ABC):
    """An image whose rows are read when they are needed.

    Attributes:
        shape: (height, width, channels) of the whole image.
    """

    shape: tuple[int, int, int]

    @abc.abstractmethod
    def read(self, start: int, stop: int) -> np.ndarray:
        """Returns the rows start..stop-1, (stop - start, W, C) uint8."""

    @abc.abstractmethod
    def close(self) -> None:
        """Closes the file."""


class ArrayRows(ImageRows):
    """Rows of an array (H, W, C) or (H, W), in memory or in a memory-mapped .npy file."""

    def __init__(self, array: np.ndarray, channels: int | None = None, path: Path | None = None):
        self._array, self._path = array, path
        self._channels = channels or array.shape[-1]
        self.shape = (*array.shape[:2], self._channels)

    def read(self, start: int, stop: int) -> np.ndarray:
        return with_channels(
            np.asarray(self._array[start:stop]), self._channels, self._path, last=True
        )

    def close(self) -> None:
        self._array = None


PLAIN, JPEG = (1, 2), (6, 7)
"""Values of the TIFF tag PhotometricInterpretation: grey (0 is black) and RGB; YCbCr with JPEG.

Pillow reads the others (palettes, grey where 0 is white, CMYK).
"""
ALPHA = ((1,), (2,))
"""Values of the TIFF tag ExtraSamples for alpha: premultiplied, and not."""


class TiffRows(ImageRows):
    """Rows of an 8-bit TIFF file with one page, read from its strips or tiles."""

    def __init__(self, path: Path, channels: int):
        import tifffile

        self._path, self._channels = path, channels
        self._file = tifffile.TiffFile(path)
        page = self._page = self._file.pages[0]
        self._samples = page.samplesperpixel
        self._alpha = self._samples - 1 == channels and page.extrasamples[-1:] in ALPHA
        self.shape = (page.imagelength, page.imagewidth, channels)
        wide = page.tilewidth if page.is_tiled else page.imagewidth
        self._tall = page.tilelength if page.is_tiled else page.rowsperstrip
        self._across = -(-page.imagewidth // wide)

    @staticmethod
    def takes(page: Any) -> bool:
        """Whether a page is one plane of 8-bit grey or interleaved colour."""
        plain = page.photometric in PLAIN or (page.photometric, page.compression) == JPEG
        flat = page.imagedepth == 1 and page.planarconfig == 1
        return plain and flat and page.dtype == np.uint8

    def read(self, start: int, stop: int) -> np.ndarray:
        height, width = self.shape[:2]
        rows = np.zeros((stop - start, width, self._samples), np.uint8)
        first, last = start // self._tall, (min(stop, height) - 1) // self._tall
        for index in range(first * self._across, (last + 1) * self._across):
            self._place(index, rows, start)
        if self._alpha:
            rows, alpha = rows[..., :-1], rows[: max(0, height - start), :, -1]
            if alpha.min(initial=255) < 255:
                raise ValueError(
                    f"{self._path} has transparency, and the network takes {self._channels} "
                    "channels. Flatten it first."
                )
        return with_channels(rows, self._channels, self._path, last=True)

    def _place(self, index: int, rows: np.ndarray, start: int) -> None:
        page, handle = self._page, self._file.filehandle
        handle.seek(page.dataoffsets[index])
        content = handle.read(page.databytecounts[index])
        try:
            segment, position, _ = page.decode(content, index, jpegtables=page.jpegtables)
        except Exception as error:  # whatever damaged bytes lead the decoders to
            raise ValueError(f"{self._path} is cut short or damaged: {error}.") from error
        if segment is None:  # a segment that the file omits is black
            return
        top, left = position[-3:-1]
        segment = segment[0, : self.shape[0] - top, : self.shape[1] - left]
        skipped = max(0, start - top)
        segment = segment[skipped : start + len(rows) - top]
        into = top + skipped - start
        rows[into : into + len(segment), left : left + segment.shape[1]] = segment

    def close(self) -> None:
        self._file.close()


def open_rows(
    path: str | Path,
    channels: int,
    *,
    whole_pixels: int,
    value_range: tuple[float, float] | None = None,
) -> ImageRows:
    """Opens an image file for reading in rows.

    A .npy file is memory-mapped. An 8-bit TIFF file is read by strips or tiles with tifffile. Other
    formats, and small images, are decoded at once.

    Args:
        channels: number of channels to return. Grey and RGB are converted into each other.
        whole_pixels: images with up to this many pixels are read at once.
        value_range: as for `read_image`.

    Raises: as `read_image`.
    """
    path, suffix = Path(path), Path(path).suffix.lower()
    if suffix == ARRAY_SUFFIX and path.is_file():
        array = _mapped(path)
        if array is not None and array.shape[0] * array.shape[1] > whole_pixels:
            return ArrayRows(array, channels, path)
    if suffix in TIFF_SUFFIXES and path.is_file() and _area(path) > whole_pixels:
        rows = _tiff(path, channels)
        if rows is not None:
            return rows
    return ArrayRows(read_image(path, channels, value_range=value_range))


def _mapped(path: Path) -> np.ndarray | None:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # read_image reports what is wrong
        return None
    last = array.ndim == 2 or (array.ndim == 3 and array.shape[2] <= array.shape[0])
    return array if array.dtype == np.uint8 and array.size and last else None


def _area(path: Path) -> int:
    """Number of pixels that the header of a picture states; 0 if it cannot be read."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # only the header is read here
    try:
        with Image.open(path) as picture:
            return picture.width * picture.height
    except Exception:  # read_image reports what is wrong
        return 0
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _tiff(path: Path, channels: int) -> ImageRows | None:
    try:
        import tifffile
    except ImportError:
        return None
    try:
        with tifffile.TiffFile(path) as file:
            readable = len(file.pages) == 1 and TiffRows.takes(file.pages[0])
    except Exception:  # read_image reports what is wrong
        return None
    if readable and (compression := missing_codec(path)) is not None:
        if Image.MAX_IMAGE_PIXELS is not None and _area(path) > 2 * Image.MAX_IMAGE_PIXELS:
            raise ValueError(needs_codec(path, compression))  # Pillow refuses such a size
        return None  # Pillow has its own decoder, which reads the whole image
    return TiffRows(path, channels) if readable and orientation(path) == 1 else None
