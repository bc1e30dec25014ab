"""Image files as arrays of pixels."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from keras_seg.data.reading.arrays import (
    ARRAY_SUFFIX,
    TIFF_SUFFIXES,
    read_array,
    to_bytes,
    with_channels,
)

PICTURE_MODES = ("1", "L", "P", "RGB", "YCbCr", "CMYK")
ANIMATED = ("GIF", "PNG", "WEBP")
"""Formats whose later frames are separate pictures; in MPO photographs they are previews."""
SAMPLES_PER_PIXEL = 277
"""Number of the TIFF tag."""
UNREADABLE = (ValueError, OSError)
"""Errors that a damaged, missing or contradictory file raises when it is read."""
DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def read_image(
    path: str | Path,
    channels: int = 3,
    *,
    value_range: tuple[float, float] | None = None,
) -> np.ndarray:
    """Reads an image file as (H, W, channels) uint8.

    Grey and RGB are converted into each other. Pictures are turned upright by their EXIF
    orientation. An alpha channel that is 255 everywhere is dropped unless the network takes it.
    TIFF files with several pages, or more than 8 bits in several channels, need tifffile. A .npy
    file holds (H, W), (H, W, channels) or (channels, H, W).

    Args:
        path: the image file.
        channels: number of channels to return. Unless it is 1 or 3, the file must have as many.
        value_range: (black, white) of images that do not have 8 bits, mapped to 0..255. 8-bit
            images are returned unchanged.

    Returns: (height, width, channels) uint8.

    Raises: FileNotFoundError; ValueError for an unreadable file, for transparency, for another
        number of channels, or for more than 8 bits per channel without `value_range`.
    """
    path = Path(path)
    pixels = array_or_picture(path)
    if isinstance(pixels, Image.Image):
        return picture_pixels(pixels, channels, value_range, path)
    return _as_image(pixels, channels, value_range, path)


def picture_pixels(
    picture: Image.Image,
    channels: int,
    value_range: tuple[float, float] | None = None,
    name: object = "The picture",
) -> np.ndarray:
    """Converts a PIL picture to (H, W, channels) uint8, by the rules of `read_image`.

    Args:
        name: what messages call the picture.

    Raises: ValueError, as `read_image`.
    """
    if _loses_bits(picture):
        raise ValueError(
            f"{name} has 16 bits in several channels, of which Pillow keeps the upper 8. Pass the "
            "path of the file, which is read with all of them."
        )
    return _as_image(_picture_pixels(picture, name, channels), channels, value_range, name)


def _as_image(
    pixels: np.ndarray, channels: int, value_range: tuple[float, float] | None, name: object
) -> np.ndarray:
    if pixels.dtype != np.uint8:
        pixels = to_bytes(pixels, value_range, name)
    return with_channels(pixels, channels, name)


def stored_pixels(path: str | Path) -> np.ndarray:
    """Pixels of an image file as stored, with any type and any number of channels.

    Raises: as `read_image` for unreadable files.
    """
    pixels = array_or_picture(Path(path))
    return loaded_pixels(pixels, Path(path)) if isinstance(pixels, Image.Image) else pixels


def orientation(path: str | Path) -> int:
    """The EXIF orientation of a picture file: 1 is upright, 5 to 8 swap height and width."""
    if Path(path).suffix.lower() == ARRAY_SUFFIX:
        return 1
    try:
        with Image.open(path) as picture:
            return int(picture.getexif().get(0x0112, 1))
    except Exception:  # reading the pixels reports the damage
        return 1


def array_or_picture(path: Path) -> np.ndarray | Image.Image:
    """Opens an image or mask file: a picture if Pillow reads all of it, else an array.

    Raises: FileNotFoundError; ValueError for a file that cannot be read.
    """
    if path.suffix.lower() == ARRAY_SUFFIX:
        return read_array(path)
    tiff = path.suffix.lower() in TIFF_SUFFIXES
    try:
        picture = Image.open(path)
        frames = getattr(picture, "n_frames", 1)
        whole = not (_loses_bits(picture) or (tiff and (frames > 1 or _hides_bands(picture))))
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no image file {path}.") from None
    except Exception as error:  # Pillow raises whatever damaged bytes lead it to
        if tiff and isinstance(error, UnidentifiedImageError) and _is_tiff(path):
            return read_array(path)
        raise ValueError(f"{path} cannot be read as an image: {error}.") from error
    if whole:
        if frames > 1 and picture.format in ANIMATED:
            warnings.warn(f"{path} has {frames} frames. The first is read.", stacklevel=2)
        return picture
    if orientation(path) != 1:
        raise ValueError(
            f"{path} has deep colour, several pages or further bands, and an EXIF orientation, "
            "which are not read together. Turn the pixels and remove the orientation."
        )
    return read_array(path)


def _loses_bits(picture: Image.Image) -> bool:
    """Whether Pillow silently drops the lower 8 of 16 bits, as it does for several channels."""
    tiles = getattr(picture, "tile", ())  # only pictures from files have it
    return len(picture.getbands()) > 1 and any(";16" in str(tile.args) for tile in tiles)


def _hides_bands(picture: Image.Image) -> bool:
    """Whether a TIFF file has extra bands other than alpha, which Pillow leaves out."""
    return picture.tag_v2.get(SAMPLES_PER_PIXEL, 0) > len(picture.getbands())


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _picture_pixels(picture: Image.Image, path: object, channels: int) -> np.ndarray:
    mode, bands = picture.mode, len(picture.getbands())
    transparent = mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    if transparent and bands != channels:
        alpha = loaded_pixels(picture, path, "RGBA")[..., 3]
        if alpha.min(initial=255) < 255:
            share = 100 * float((alpha < 255).mean())
            raise ValueError(
                f"{path} has transparency ({mode}, {bands} channels, {share:.1f} % of the pixels "
                f"below 255), and the network takes {channels}. Flatten it first, for example with "
                "Pillow: Image.open(path).convert('RGB').save(path)."
            )
        return loaded_pixels(picture, path, "L" if channels == 1 else "RGB")
    if mode in DEEP_MODES or bands == channels > 3:
        return loaded_pixels(picture, path)
    if mode not in PICTURE_MODES:
        raise ValueError(
            f"{path} has pixels of mode {mode!r}, and images of 8 bits per channel are read. "
            "Convert it to 8-bit grey or RGB."
        )
    return loaded_pixels(picture, path, "L" if channels == 1 else "RGB")


def loaded_pixels(picture: Image.Image, path: object, mode: str | None = None) -> np.ndarray:
    """Decodes a picture, turned upright, and converted to `mode` if one is given.

    Raises: ValueError for a damaged file.
    """
    try:
        upright = ImageOps.exif_transpose(picture)
        return np.array(upright if mode is None else upright.convert(mode))
    except Exception as error:  # Pillow raises whatever damaged bytes lead it to
        raise ValueError(f"{path} is cut short or damaged: {error}.") from error
