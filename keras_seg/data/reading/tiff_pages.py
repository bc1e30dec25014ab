"""Rows of TIFF files with the values that they store, read strip by strip or tile by tile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from keras_seg.data.reading.tiff_codecs import without_warnings
from keras_seg.data.reading.tiff_tags import MASK, REDUCED

PLAIN, JPEG = (1, 2), (6, 7)
"""Values of the TIFF tag PhotometricInterpretation: grey (0 is black) and RGB; YCbCr with JPEG.

Pillow reads the others (palettes, grey where 0 is white, CMYK).
"""


class TiffPixels:
    """Rows of the first page of a TIFF file, with tifffile, and of the mask beside it.

    Attributes:
        shape: (height, width, bands).
    """

    def __init__(self, path: Path) -> None:
        import tifffile

        self._file = tifffile.TiffFile(path)
        main, mask = _pages(self._file)
        self._page = _Page(self._file, main, path)
        self._mask = None if mask is None else _Page(self._file, mask, path)
        self.shape = (main.imagelength, main.imagewidth, main.samplesperpixel)

    @staticmethod
    def takes(path: Path) -> bool:
        """Whether the file is one image of grey or RGB values and bands, of 8 bits or more."""
        import tifffile

        try:
            with tifffile.TiffFile(path) as file:
                main, _ = _pages(file)
                plain = main.photometric in PLAIN
                plain |= (main.photometric, main.compression) == JPEG
                flat = main.imagedepth == 1 and _is_single(file)
                return plain and flat and main.dtype is not None and main.dtype.kind in "uif"
        except Exception:  # read_image reports what is wrong
            return False

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows (stop - start, W, bands) as stored, and which pixels the mask calls valid."""
        rows = self._page.read(start, stop)
        if self._mask is None:
            return rows, None
        valid = self._mask.read(start, stop)[..., 0] > 0
        return rows, None if valid.all() else valid

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _pages(file: Any) -> tuple[Any, Any | None]:
    """The first page that is neither an overview nor a mask, and the mask of its size."""
    main = next(page for page in file.pages if not page.subfiletype & (REDUCED | MASK))
    masks = [page for page in file.pages if page.subfiletype & (REDUCED | MASK) == MASK]
    size = (main.imagelength, main.imagewidth)
    fitting = (page for page in masks if (page.imagelength, page.imagewidth) == size)
    return main, next(fitting, None)


def _is_single(file: Any) -> bool:
    """Whether all other pages are overviews and masks."""
    return sum(not page.subfiletype & (REDUCED | MASK) for page in file.pages) == 1


class _Page:
    """Rows of one page, of any type, with its bands pixel by pixel or band after band."""

    def __init__(self, file: Any, page: Any, path: Path) -> None:
        self._handle, self._page, self._path = file.filehandle, page, path
        wide = page.tilewidth if page.is_tiled else page.imagewidth
        tall = page.tilelength if page.is_tiled else page.rowsperstrip
        self._tall = min(tall, page.imagelength)
        self._across = -(-page.imagewidth // wide)
        self._down = -(-page.imagelength // self._tall)
        self._planes = page.samplesperpixel if page.planarconfig == 2 else 1

    def read(self, start: int, stop: int) -> np.ndarray:
        page = self._page
        shape = (stop - start, page.imagewidth, page.samplesperpixel)
        rows = np.full(shape, page.nodata or 0, page.dtype)
        last = min(stop, page.imagelength) - 1
        for plane in range(self._planes):
            first = (plane * self._down + start // self._tall) * self._across
            after = (plane * self._down + last // self._tall + 1) * self._across
            for index in range(first, after):
                self._place(index, rows, start)
        return rows

    def _place(self, index: int, rows: np.ndarray, start: int) -> None:
        page = self._page
        self._handle.seek(page.dataoffsets[index])
        content = self._handle.read(page.databytecounts[index])
        try:
            segment, position, _ = page.decode(content, index, jpegtables=page.jpegtables)
        except Exception as error:  # whatever damaged bytes lead the decoders to
            raise ValueError(f"{self._path} is cut short or damaged: {error}.") from error
        if segment is None:  # a segment that the file omits
            return
        plane, _, top, left, _ = position
        segment = segment[0, : page.imagelength - top, : page.imagewidth - left]
        skipped = max(0, start - top)
        segment = segment[skipped : start + len(rows) - top]
        into = top + skipped - start
        bands = slice(plane, plane + 1) if self._planes > 1 else slice(None)
        rows[into : into + len(segment), left : left + segment.shape[1], bands] = segment


class RasterPixels:
    """Rows of a TIFF file, with rasterio.

    Attributes:
        shape: (height, width, bands).
    """

    def __init__(self, path: Path) -> None:
        import rasterio

        with without_warnings():
            self._file = rasterio.open(path)
        self._path = path
        self.shape = (self._file.height, self._file.width, self._file.count)

    @staticmethod
    def takes(path: Path) -> bool:
        """Whether rasterio reads the file as one image of grey or RGB values and bands."""
        import rasterio

        try:
            with without_warnings(), rasterio.open(path) as file:
                plain = "palette" not in {each.name for each in file.colorinterp}
                return plain and len(set(file.dtypes)) == 1
        except rasterio.errors.RasterioError:  # read_image reports what is wrong
            return False

    def read(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows (stop - start, W, bands) as stored, and which pixels the mask calls valid."""
        import rasterio

        window = rasterio.windows.Window(0, start, self.shape[1], stop - start)
        try:
            rows = np.moveaxis(self._file.read(window=window), 0, -1)
            flags = self._file.mask_flag_enums[0]
            if rasterio.enums.MaskFlags.per_dataset not in flags:
                return rows, None
            return rows, self._file.dataset_mask(window=window) > 0
        except rasterio.errors.RasterioError as error:
            raise ValueError(f"{self._path} is cut short or damaged: {error}.") from error

    def close(self) -> None:
        """Closes the file."""
        self._file.close()
