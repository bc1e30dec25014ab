"""Large images, read a few rows at a time."""

from __future__ import annotations

import abc
from pathlib import Path

import numpy as np
from PIL import Image

from keras_seg.data.reading.arrays import ARRAY_SUFFIX, TIFF_SUFFIXES, image_and_known
from keras_seg.data.reading.images import nodata_values, orientation, read_image_and_known
from keras_seg.data.reading.ranges import ValueRange
from keras_seg.data.reading.tiff_codecs import (
    import_tifffile,
    missing_codec,
    needs_codec,
    rasterio_reads,
)
from keras_seg.data.reading.tiff_pages import RasterPixels, TiffPixels
from keras_seg.data.reading.tiff_tags import alpha_is_last, tiff_area


class ImageRows(abc.ABC):
    """An image whose rows are read when they are needed.

    Attributes:
        shape: (height, width, channels) of the whole image.
    """

    shape: tuple[int, int, int]

    def __init__(self) -> None:
        self._known: dict[int, np.ndarray] = {}
        self._taken = 0

    @abc.abstractmethod
    def read(self, start: int, stop: int) -> np.ndarray:
        """Returns the rows start..stop-1, (stop - start, W, C) uint8."""

    @abc.abstractmethod
    def close(self) -> None:
        """Closes the file."""

    def take_known(self, start: int, stop: int) -> np.ndarray | None:
        """Which pixels of rows that were read hold data; the rows are then forgotten.

        Returns: (stop - start, W) bool; None if all pixels hold data.
        """
        self._taken = max(self._taken, stop)
        rows = {row: self._known.pop(row) for row in range(start, stop) if row in self._known}
        if not rows:
            return None
        known = np.ones((stop - start, self.shape[1]), bool)
        for row, bits in rows.items():
            known[row - start] = np.unpackbits(bits, count=self.shape[1])
        return known

    def _note(self, start: int, known: np.ndarray | None) -> None:
        """Keeps which pixels of rows hold data, until `take_known` asks."""
        for row, each in enumerate(() if known is None else known, start):
            if row >= self._taken and row < self.shape[0] and not each.all():
                self._known[row] = np.packbits(each)


class ArrayRows(ImageRows):
    """Rows of an image in memory, or in a memory-mapped .npy file.

    Args:
        array: (H, W, C) or (H, W), in memory uint8.
        channels: number of channels to return; None for those of the array.
        path: the file, for messages.
        known: (H, W) bool, the pixels that hold data; None for all.
        value_range: as for `read_image`, for an array of another type.
        nodata: a value that means "no data".
    """

    def __init__(
        self,
        array: np.ndarray,
        channels: int | None = None,
        path: Path | None = None,
        *,
        known: np.ndarray | None = None,
        value_range: ValueRange | None = None,
        nodata: float | None = None,
    ) -> None:
        super().__init__()
        self._array, self._path, self._range = array, path, value_range
        self._nodata = () if nodata is None else (nodata,)
        self._channels = channels or array.shape[-1]
        self.shape = (*array.shape[:2], self._channels)
        self._note(0, known)

    def read(self, start: int, stop: int) -> np.ndarray:
        image, known = image_and_known(
            np.asarray(self._array[start:stop]),
            self._channels,
            self._range,
            self._path,
            nodata=self._nodata,
            last=True,
        )
        self._note(start, known)
        return image

    def close(self) -> None:
        self._array = None


class TiffRows(ImageRows):
    """Rows of a TIFF file, read from its strips or tiles.

    Args:
        path: the file.
        channels: number of channels to return.
        value_range, nodata: as for `read_image`.
        pixels: reads stored rows; None for tifffile.
    """

    def __init__(
        self,
        path: Path,
        channels: int,
        value_range: ValueRange | None = None,
        nodata: float | None = None,
        pixels: TiffPixels | RasterPixels | None = None,
    ) -> None:
        super().__init__()
        self._path, self._channels, self._range = path, channels, value_range
        self._nodata, self._alpha = nodata_values(path, nodata), alpha_is_last(path)
        self._pixels = pixels or TiffPixels(path)
        self.shape = (*self._pixels.shape[:2], channels)

    def read(self, start: int, stop: int) -> np.ndarray:
        stored, mask = self._pixels.read(start, stop)
        image, known = image_and_known(
            stored,
            self._channels,
            self._range,
            self._path,
            nodata=self._nodata,
            last=True,
            has_alpha=self._alpha,
        )
        if mask is not None:
            known = mask if known is None else known & mask
            image[~known] = 0
        self._note(start, known)
        return image

    def close(self) -> None:
        self._pixels.close()


def open_rows(
    path: str | Path,
    channels: int,
    *,
    whole_pixels: int,
    value_range: ValueRange | None = None,
    nodata: float | None = None,
) -> ImageRows:
    """Opens an image file for reading in rows.

    A .npy file is memory-mapped. A TIFF file is read by strips or tiles, with tifffile or rasterio.
    Other formats, and small images, are decoded at once.

    Args:
        channels: number of channels to return. Grey and RGB are converted into each other.
        whole_pixels: images with up to this many pixels are read at once.
        value_range, nodata: as for `read_image`.

    Raises: as `read_image`.
    """
    path, suffix = Path(path), Path(path).suffix.lower()
    if suffix == ARRAY_SUFFIX and path.is_file():
        array = _mapped(path)
        if array is not None and array.shape[0] * array.shape[1] > whole_pixels:
            return ArrayRows(array, channels, path, value_range=value_range, nodata=nodata)
    if suffix in TIFF_SUFFIXES and path.is_file() and tiff_area(path) > whole_pixels:
        rows = _tiff(path, channels, value_range, nodata)
        if rows is not None:
            return rows
    image, known = read_image_and_known(path, channels, value_range=value_range, nodata=nodata)
    return ArrayRows(image, known=known)


def _mapped(path: Path) -> np.ndarray | None:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # read_image reports what is wrong
        return None
    last = array.ndim == 2 or (array.ndim == 3 and array.shape[2] <= array.shape[0])
    return array if array.dtype.kind in "uif" and array.size and last else None


def _tiff(
    path: Path, channels: int, value_range: ValueRange | None, nodata: float | None
) -> ImageRows | None:
    """Rows of a TIFF file that can be read in parts; None for one that Pillow reads whole."""
    compression = missing_codec(path)
    if import_tifffile() is not None and compression is None:
        if not TiffPixels.takes(path) or orientation(path) != 1:
            return None
        return TiffRows(path, channels, value_range, nodata)
    if rasterio_reads(path) and RasterPixels.takes(path):
        return TiffRows(path, channels, value_range, nodata, RasterPixels(path))
    too_large = Image.MAX_IMAGE_PIXELS is not None and tiff_area(path) > 2 * Image.MAX_IMAGE_PIXELS
    if compression is not None and too_large:
        raise ValueError(needs_codec(path, compression))  # Pillow refuses such a size
    return None  # Pillow has decoders of its own, which read the whole image
