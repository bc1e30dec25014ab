"""Decodes whole TIFF files with tifffile or rasterio, and names the package that is missing."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import numpy as np

PLAIN_COMPRESSIONS = ("NONE", "ADOBE_DEFLATE", "DEFLATE", "PACKBITS", "LZMA")
"""TIFF compressions, by tifffile's names, that it decodes without the package imagecodecs."""
TIFFFILE, IMAGECODECS, RASTERIO = "tifffile", "imagecodecs", "rasterio"


def installed(package: str) -> bool:
    """Whether a package can be imported; None in `sys.modules` hides it, as for an import."""
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # None in sys.modules
        return False


def read_tiff(path: Path) -> np.ndarray:
    """All pixels of a TIFF file with the type that they have there.

    tifffile reads it; if tifffile or a decoder is missing, rasterio does.

    Raises: ValueError for a damaged file, or with the package to install.
    """
    if not installed(TIFFFILE):
        if installed(RASTERIO):
            return _read_by_rasterio(path)
        raise ValueError(
            f"{path} is a TIFF file that Pillow does not read (several pages, or more than 8 bits "
            "in several channels, or further bands). Install the reader for it: "
            "pip install tifffile imagecodecs."
        )
    compression = missing_codec(path)
    if compression is not None and installed(RASTERIO):
        return _read_by_rasterio(path)
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            pixels = series.asarray()
    except Exception as error:  # whatever damaged bytes lead tifffile to
        if compression is None and not installed(IMAGECODECS) and IMAGECODECS in str(error):
            compression = "a rare form of"  # such as 12 bits per sample
        if compression is not None:
            raise ValueError(needs_codec(path, compression)) from error
        raise ValueError(f"{path} cannot be read as TIFF: {error}.") from error
    if pixels.ndim == 3 and series.axes.startswith("S"):  # band after band
        pixels = np.moveaxis(pixels, 0, -1)
    return pixels


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
    if installed(IMAGECODECS) or not installed(TIFFFILE):
        return None
    import tifffile

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
