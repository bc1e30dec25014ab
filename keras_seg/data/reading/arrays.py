"""Files that hold more than 8-bit grey or RGB: .npy, TIFF and 16-bit PNG."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

ARRAY_SUFFIX = ".npy"
TIFF_SUFFIXES = (".tif", ".tiff")
PLAIN_COMPRESSIONS = ("NONE", "ADOBE_DEFLATE", "DEFLATE", "PACKBITS", "LZMA")
"""TIFF compressions, by tifffile's names, that it decodes without the package imagecodecs."""


def read_array(path: Path) -> np.ndarray:
    """Reads a .npy file, or a TIFF or PNG file that Pillow would not read completely.

    Raises: ValueError for a damaged file, for one with Python objects, and for a TIFF file if
        tifffile is not installed.
    """
    if path.suffix.lower() == ".png":
        return _read_deep_png(path)
    pixels = _read_tiff(path) if path.suffix.lower() in TIFF_SUFFIXES else _read_npy(path)
    if pixels.dtype.kind not in "buif":
        raise ValueError(
            f"{path} holds values of type {pixels.dtype}, and pixels are whole or floating-point "
            "numbers. Save it again as one of these."
        )
    return pixels


def _read_npy(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no image file {path}.") from None
    except Exception as error:  # whatever damaged bytes lead NumPy to
        raise ValueError(f"{path} cannot be read as a NumPy array: {error}.") from error


def _read_tiff(path: Path) -> np.ndarray:
    try:
        import tifffile
    except ImportError:
        raise ValueError(
            f"{path} is a TIFF file that Pillow does not read (several pages, or more than 8 bits "
            "in several channels, or further bands). Install the reader for it: "
            "pip install tifffile imagecodecs."
        ) from None
    try:
        return tifffile.imread(path)
    except Exception as error:  # whatever damaged bytes lead tifffile to
        if (compression := missing_codec(path)) is not None:
            raise ValueError(needs_codec(path, compression)) from error
        raise ValueError(f"{path} cannot be read as TIFF: {error}.") from error


def missing_codec(path: Path) -> str | None:
    """Name of the TIFF compression that needs the missing imagecodecs; None if all is decodable."""
    import tifffile

    if importlib.util.find_spec("imagecodecs") is not None:
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


def _read_deep_png(path: Path) -> np.ndarray:
    import tensorflow as tf  # Pillow keeps only 8 bits of several channels

    try:
        return tf.io.decode_png(path.read_bytes(), dtype=tf.uint16).numpy()
    except tf.errors.OpError as error:
        raise ValueError(f"{path} cannot be read as PNG: {error.message}.") from error


def to_bytes(pixels: np.ndarray, value_range: tuple[float, float] | None, path: Path) -> np.ndarray:
    """Maps `value_range` to 0..255 and rounds to uint8.

    Raises: ValueError if pixels have more than 8 bits and no range is given: a 12-bit image in a
        16-bit file would silently become nearly black.
    """
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise ValueError(f"{path} holds values that are not finite. Replace them first.")
    if value_range is None:
        low, high = pixels.min(initial=0), pixels.max(initial=0)
        raise ValueError(
            f"{path} has pixels of type {pixels.dtype} from {low} to {high}, and images of 8 bits "
            "per channel are read. State which values are black and white for the whole data set, "
            f'for example "range": [0, {_white(pixels.dtype, high)}] in classes.json, or '
            f"--value_range 0 {_white(pixels.dtype, high)} of keras-seg predict."
        )
    return stretched(pixels, value_range)


def stretched(pixels: np.ndarray, value_range: tuple[float, float]) -> np.ndarray:
    """Maps (black, white) to (0, 255) as uint8. Values outside are clipped."""
    low, high = value_range
    mapped = (pixels.astype(np.float32) - low) * (255.0 / (high - low))
    return np.rint(mapped.clip(0, 255)).astype(np.uint8)


def _white(dtype: np.dtype, largest: float) -> int:
    """The likely white level: the largest value of the bits that the pixels use."""
    if not np.issubdtype(dtype, np.integer):
        return 1 if largest <= 1 else int(np.ceil(largest))
    return 2 ** max(8, int(largest).bit_length()) - 1


def with_channels(
    pixels: np.ndarray, channels: int, path: Path, *, last: bool = False
) -> np.ndarray:
    """Arranges (H, W), (H, W, n) or (n, H, W) as (H, W, channels). Converts grey and RGB.

    Args:
        last: whether the channels are known to come last, even if there are as many rows.

    Raises: ValueError if the file has another number of channels than the network takes.
    """
    if pixels.ndim == 2:
        pixels, last = pixels[..., None], True
    if pixels.ndim == 3 and not last and pixels.shape[0] == channels != pixels.shape[-1]:
        pixels = np.moveaxis(pixels, 0, -1)
    if pixels.ndim == 3 and channels == 3 and pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, 3, axis=-1)
    if pixels.ndim == 3 and channels == 1 and pixels.shape[-1] == 3:
        pixels = (pixels.astype(np.float32) @ np.float32([0.299, 0.587, 0.114]))[..., None]
        pixels = np.rint(pixels).astype(np.uint8)
    if pixels.ndim != 3 or pixels.shape[-1] != channels:
        raise ValueError(
            f"{path} holds an array of shape {pixels.shape}, and the network takes (height, width, "
            f"{channels}). Set channels to what the images have, or convert them."
        )
    return np.ascontiguousarray(pixels)
