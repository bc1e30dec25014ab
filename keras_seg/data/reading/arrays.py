"""Files that hold more than 8-bit grey or RGB: .npy, TIFF and 16-bit PNG."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_seg.data.reading import tiff_codecs
from keras_seg.data.reading.nodata import known_pixels
from keras_seg.data.reading.ranges import ValueRange, stretched

ARRAY_SUFFIX = ".npy"
TIFF_SUFFIXES = (".tif", ".tiff")


def read_array(path: Path) -> np.ndarray:
    """Reads a .npy file, or a TIFF or PNG file that Pillow would not read completely.

    Raises: ValueError for a damaged file, for one with Python objects, and for a TIFF file if the
        package that reads it is not installed.
    """
    if path.suffix.lower() == ".png":
        return _read_deep_png(path)
    tiff = path.suffix.lower() in TIFF_SUFFIXES
    pixels = tiff_codecs.read_tiff(path) if tiff else _read_npy(path)
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


def _read_deep_png(path: Path) -> np.ndarray:
    import tensorflow as tf  # Pillow keeps only 8 bits of several channels

    try:
        return tf.io.decode_png(path.read_bytes(), dtype=tf.uint16).numpy()
    except tf.errors.OpError as error:
        raise ValueError(f"{path} cannot be read as PNG: {error.message}.") from error


def image_and_known(
    pixels: np.ndarray,
    channels: int,
    value_range: ValueRange | None,
    name: object,
    *,
    nodata: tuple[float, ...] = (),
    last: bool = False,
    has_alpha: bool = False,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Converts stored pixels to (H, W, channels) uint8, and finds the pixels that hold data.

    Args:
        pixels, channels, name, nodata, last, has_alpha: as for `stored_and_known`.
        value_range: black and white of pixels of more than 8 bits.

    Returns: the image, 0 where there are no data; and (H, W) bool, or None if all pixels hold data.

    Raises: ValueError as `to_bytes` and `with_channels`, and for partial transparency.
    """
    pixels, known = stored_and_known(
        pixels, channels, name, nodata=nodata, last=last, has_alpha=has_alpha
    )
    return as_image(pixels, known, channels, value_range, name), known


def as_image(
    pixels: np.ndarray,
    known: np.ndarray | None,
    channels: int,
    value_range: ValueRange | None,
    name: object,
) -> np.ndarray:
    """Converts what `stored_and_known` returns to (H, W, channels) uint8, 0 without data.

    Raises: ValueError as `to_bytes` and `with_channels`.
    """
    if pixels.dtype != np.uint8:
        _check_channels(pixels, channels, name)  # a range cannot fit if the channels do not
        pixels = to_bytes(pixels, value_range, name, known)
    pixels = with_channels(pixels, channels, name, last=True)
    if known is not None:
        pixels[~known] = 0
    return pixels


def stored_and_known(
    pixels: np.ndarray,
    channels: int,
    name: object,
    *,
    nodata: tuple[float, ...] = (),
    last: bool = False,
    has_alpha: bool = False,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Arranges stored pixels as (H, W, bands) without transparency, and finds those without data.

    Args:
        pixels: as stored, with any type and order of the axes.
        channels: number of channels that the network takes.
        name: the file, for messages.
        nodata: values that mean "no data". In a floating-point image NaN does, too.
        last: whether the channels are known to come last, even if there are as many rows.
        has_alpha: whether the last channel is transparency, 0 where there are no data.

    Returns: the pixels in their own type, 0 where there are no data; and (H, W) bool, or None if
        all pixels hold data.

    Raises: ValueError for partial transparency.
    """
    pixels = arranged(pixels, channels + has_alpha, last=last)
    known = known_pixels(pixels, nodata)
    if has_alpha and pixels.ndim == 3 and pixels.shape[-1] == channels + 1:
        alpha, pixels = pixels[..., -1], pixels[..., :-1]
        known = _opaque(alpha, channels, name, known)
    if known is not None:
        pixels = np.where(known[..., None], pixels, pixels.dtype.type(0))
    return pixels, known


def _opaque(
    alpha: np.ndarray, channels: int, name: object, known: np.ndarray | None
) -> np.ndarray | None:
    """The known pixels without those that are transparent.

    Raises: ValueError for pixels that are neither transparent nor opaque.
    """
    clear = alpha == 0
    white = 1 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max
    partial = ~clear & (alpha != white)
    if partial.any():
        raise ValueError(
            f"{name} has transparency: {partial.mean():.1%} of the pixels are neither opaque nor "
            f"transparent, and the network takes {channels} channels. Flatten it first."
        )
    if not clear.any():
        return known
    return ~clear if known is None else known & ~clear


def to_bytes(
    pixels: np.ndarray,
    value_range: ValueRange | None,
    path: object,
    known: np.ndarray | None = None,
) -> np.ndarray:
    """Maps `value_range` to 0..255 and rounds to uint8.

    Args:
        pixels: (H, W, C).
        known: (H, W) bool, the pixels that hold data; None for all.

    Raises: ValueError if pixels have more than 8 bits and no range is given: a 12-bit image in a
        16-bit file would silently become nearly black.
    """
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise ValueError(f"{path} holds values that are not finite. Replace them first.")
    if value_range is None:
        counted = pixels if known is None else pixels[known]
        low, high = counted.min(initial=0), counted.max(initial=0)
        white = _white(pixels.dtype, high)
        raise ValueError(
            f"{path} has pixels of type {pixels.dtype} from {low} to {high}, and images of 8 bits "
            "per channel are read. State which values are black and white for the whole data set, "
            f'for example "range": [0, {white}] in classes.json (or "range": "auto", which '
            f"measures it per band), or --value_range 0 {white} of keras-seg predict."
        )
    return stretched(pixels, value_range, path)


def _white(dtype: np.dtype, largest: float) -> int:
    """The likely white level: the largest value of the bits that the pixels use."""
    if not np.issubdtype(dtype, np.integer):
        return 1 if largest <= 1 else int(np.ceil(largest))
    return 2 ** max(8, int(largest).bit_length()) - 1


def arranged(pixels: np.ndarray, channels: int, *, last: bool = False) -> np.ndarray:
    """Arranges (H, W), (H, W, n) or (channels, H, W) as (H, W, n)."""
    if pixels.ndim == 2:
        return pixels[..., None]
    if pixels.ndim == 3 and not last and pixels.shape[0] == channels != pixels.shape[-1]:
        return np.moveaxis(pixels, 0, -1)
    return pixels


def with_channels(
    pixels: np.ndarray, channels: int, path: object, *, last: bool = False
) -> np.ndarray:
    """Arranges (H, W), (H, W, n) or (n, H, W) as (H, W, channels). Converts grey and RGB.

    Args:
        last: whether the channels are known to come last, even if there are as many rows.

    Raises: ValueError if the file has another number of channels than the network takes.
    """
    pixels = arranged(pixels, channels, last=last)
    if pixels.ndim == 3 and channels == 3 and pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, 3, axis=-1)
    if pixels.ndim == 3 and channels == 1 and pixels.shape[-1] == 3:
        pixels = (pixels.astype(np.float32) @ np.float32([0.299, 0.587, 0.114]))[..., None]
        pixels = np.rint(pixels).astype(np.uint8)
    _check_channels(pixels, channels, path)
    return np.ascontiguousarray(pixels)


def _check_channels(pixels: np.ndarray, channels: int, path: object) -> None:
    """Raises ValueError unless (H, W, n) has these channels, or grey and RGB can be converted."""
    count = pixels.shape[-1]
    if pixels.ndim == 3 and (count == channels or {count, channels} == {1, 3}):
        return
    remedy = "Convert it to (height, width, channels)."
    if pixels.ndim == 3:
        remedy = (
            f"If all images of the data have {count} channels, train with --channels {count}; "
            "otherwise convert it."
        )
    raise ValueError(
        f"{path} holds an array of shape {pixels.shape}, and (height, width, {channels}) is "
        f"expected. {remedy}"
    )
