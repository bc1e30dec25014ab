"""Decodes whole TIFF files with tifffile or rasterio, and names the package that is missing."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from types import ModuleType

import numpy as np

from keras_seg.data.reading.tiff_tags import main_pages

PLAIN_COMPRESSIONS = ("NONE", "ADOBE_DEFLATE", "DEFLATE", "PACKBITS", "LZMA")
"""TIFF compressions, by tifffile's names, that it decodes without the package imagecodecs."""


def import_tifffile() -> ModuleType | None:
    """The module tifffile; None if it is not installed."""
    try:
        import tifffile
    except ImportError:
        return None
    return tifffile


def has_imagecodecs() -> bool:
    """Whether imagecodecs, with tifffile's further decoders, is installed."""
    return _is_installed("imagecodecs")


def rasterio_reads(path: Path) -> bool:
    """Whether rasterio is installed and the file is one image, and not several pages."""
    return _is_installed("rasterio") and main_pages(path) == 1


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # None in sys.modules
        return False


def read_tiff(path: Path) -> np.ndarray:
    """All pixels of a TIFF file with the type that they have there.

    tifffile reads it; if tifffile or a decoder is missing, rasterio does.

    Raises: ValueError for a damaged file, or with the package to install.
    """
    tifffile = import_tifffile()
    if tifffile is None:
        if rasterio_reads(path):
            return _read_by_rasterio(path)
        raise ValueError(
            f"{path} is a TIFF file that Pillow does not read (several pages, or more than 8 bits "
            "in several channels, or further bands). Install the reader for it: "
            "pip install tifffile imagecodecs."
        )
    compression = missing_codec(path)
    if compression is not None and rasterio_reads(path):
        return _read_by_rasterio(path)
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            pixels = series.asarray()
    except Exception as error:  # whatever damaged bytes lead tifffile to
        if compression is None and not has_imagecodecs() and "imagecodecs" in str(error):
            compression = "a rare form of"  # such as 12 bits per sample
        if compression is not None:
            raise ValueError(needs_codec(path, compression)) from error
        raise ValueError(f"{path} cannot be read as TIFF: {error}.") from error
    if pixels.ndim == 3 and series.axes.startswith("S"):  # band after band
        pixels = np.moveaxis(pixels, 0, -1)
    return pixels


def read_page(path: Path, number: int) -> np.ndarray:
    """One page of a TIFF file, such as its mask of valid pixels, which Pillow does not read.

    Raises: ValueError for a damaged file, or if tifffile is not installed.
    """
    tifffile = import_tifffile()
    if tifffile is None:
        raise ValueError(
            f"{path} has a mask of the pixels that hold data. Install the reader for it: "
            "pip install tifffile imagecodecs."
        )
    try:
        with tifffile.TiffFile(path) as file:
            return file.pages[number].asarray()
    except Exception as error:  # whatever damaged bytes lead tifffile to
        compression = missing_codec(path)
        if compression is not None:
            raise ValueError(needs_codec(path, compression)) from error
        raise ValueError(f"{path} is cut short or damaged: {error}.") from error


def _read_by_rasterio(path: Path) -> np.ndarray:
    import rasterio

    try:
        with without_warnings(), rasterio.open(path) as file:
            return np.moveaxis(file.read(), 0, -1)
    except rasterio.errors.RasterioError as error:
        raise ValueError(f"{path} cannot be read as TIFF: {error}.") from error


def without_warnings() -> warnings.catch_warnings:
    """Hides rasterio's warning about files without a place on the map."""
    return warnings.catch_warnings(action="ignore")


def missing_codec(path: Path) -> str | None:
    """Name of the TIFF compression that needs the missing imagecodecs; None if all is decodable."""
    tifffile = import_tifffile()
    if tifffile is None or has_imagecodecs():
        return None
    try:
        with tifffile.TiffFile(path) as file:
            for page in file.pages:
                name = tifffile.COMPRESSION(page.compression).name
                if name not in PLAIN_COMPRESSIONS:
                    return name
                if page.predictor == tifffile.PREDICTOR.FLOATINGPOINT:
                    return f"{name} and floating-point differences as"
    except Exception:  # its tags are damaged
        return None
    return None


def needs_codec(path: Path, compression: str) -> str:
    """The message for a file whose compression needs the optional imagecodecs."""
    return (
        f"{path} is a TIFF file with {compression} compression, which is read by a package that is "
        "not installed. Install it: pip install imagecodecs."
    )
