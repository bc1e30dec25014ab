"""Reading and writing of pictures and masks as files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from keras_seg.data.arrays import (
    ARRAY_SUFFIX,
    TIFF_SUFFIXES,
    read_array,
    to_bytes,
    with_channels,
)
from keras_seg.data.classes import ClassTable
from keras_seg.names import IGNORE_CLASS

PICTURE_MODES = ("1", "L", "P", "RGB", "YCbCr", "CMYK")
ANIMATED = ("GIF", "PNG", "WEBP")
"""Formats whose further frames are pictures of their own; those of MPO photographs are previews."""
SAMPLES_PER_PIXEL = 277
"""Number of the TIFF tag."""
DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def read_image(
    path: str | Path,
    channels: int = 3,
    *,
    value_range: tuple[float, float] | None = None,
) -> np.ndarray:
    """Reads a picture as (H, W, channels) uint8; grey and RGB become one another as needed.

    Pictures are turned upright as their EXIF orientation says. TIFF files of several pages or of
    deep colour need tifffile; .npy files hold (H, W), (H, W, channels) or (channels, H, W).

    Args:
        channels: any number; other than 1 and 3 it must be that of the file.
        value_range: (black, white) of images with other than 8 bits; they are mapped to 0..255.
            Images of 8 bits are taken as they are.

    An alpha channel that is 255 everywhere is left out where the network does not take it.

    Raises: FileNotFoundError; ValueError for an unreadable file, for transparency, for another
        number of channels, or for more than 8 bits a channel without `value_range`.
    """
    path = Path(path)
    pixels = _array_or_picture(path)
    if isinstance(pixels, Image.Image):
        return picture_pixels(pixels, channels, value_range, path)
    return _as_image(pixels, channels, value_range, path)


def picture_pixels(
    picture: Image.Image,
    channels: int,
    value_range: tuple[float, float] | None = None,
    name: object = "The picture",
) -> np.ndarray:
    """A PIL picture as (H, W, channels) uint8, by the rules of `read_image`.

    Args:
        name: the picture, as a message calls it.

    Raises: ValueError, as `read_image`.
    """
    if _loses_bits(picture):
        raise ValueError(
            f"{name} has 16 bits in several channels, of which Pillow keeps the upper 8. Pass the "
            "path of the file, which is read with all of them."
        )
    return _as_image(_picture_pixels(picture, name, channels), channels, value_range, name)


def _as_image(pixels: np.ndarray, channels: int, value_range, name: object) -> np.ndarray:
    if pixels.dtype != np.uint8:
        pixels = to_bytes(pixels, value_range, name)
    return with_channels(pixels, channels, name)


def read_mask(
    path: str | Path,
    classes: ClassTable | None = None,
    ignored_colors: Sequence[tuple[int, int, int]] = (),
) -> np.ndarray:
    """Reads a mask as (H, W) int32; palette files give their indices, EXIF turns them upright.

    Args:
        classes: its colours say which class a colour of an RGB mask means.
        ignored_colors: colours that mean 255.

    Raises: FileNotFoundError; ValueError for an unreadable file, or for colours that `classes`
        does not have.
    """
    path = Path(path)
    picture = _array_or_picture(path)
    if isinstance(picture, Image.Image):
        mode = picture.mode
        if mode in ("RGB", "RGBA"):
            return _classes_of_colors(_loaded(picture, path, "RGB"), classes, ignored_colors, path)
        if mode not in ("1", "L", "P", "I", "I;16", "I;16B"):
            raise ValueError(
                f"{path} is a colour picture (mode {mode!r}); a mask holds one class index a "
                "pixel. Save it as an 8-bit grey or palette PNG."
            )
        picture = _loaded(picture, path)
    if picture.ndim != 2 or not (
        np.issubdtype(picture.dtype, np.integer) or picture.dtype == np.bool_
    ):
        raise ValueError(
            f"{path} holds an array of shape {picture.shape} and type {picture.dtype}; a mask is "
            "(height, width) of whole numbers."
        )
    numbers = picture.astype(np.int32)
    if picture.dtype.itemsize > 2 and not np.array_equal(numbers, picture):
        raise ValueError(f"{path} holds values that 32 bits are too few for, which no class has.")
    return numbers


def orientation(path: str | Path) -> int:
    """The EXIF orientation of a picture file: 1 is upright, 5 to 8 swap height and width."""
    if Path(path).suffix.lower() == ARRAY_SUFFIX:
        return 1
    try:
        with Image.open(path) as picture:
            return int(picture.getexif().get(0x0112, 1))
    except Exception:  # a damaged file is named by who reads its pixels
        return 1


def used_palette(path: str | Path) -> dict[int, tuple[int, int, int]]:
    """Value → colour of the values that a palette picture uses; empty for any other file."""
    if Path(path).suffix.lower() == ARRAY_SUFFIX:
        return {}
    try:
        with Image.open(path) as picture:
            if picture.mode != "P":
                return {}
            palette = np.reshape(picture.getpalette("RGB"), (-1, 3)).tolist()
            used = [value for _, value in picture.getcolors()]
            return {value: tuple(palette[value]) for value in used if value < len(palette)}
    except Exception:  # a damaged file is named by who reads its pixels
        return {}


def _array_or_picture(path: Path) -> np.ndarray | Image.Image:
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
    """Whether Pillow would keep the upper 8 of 16 bits of several channels, without a word."""
    tiles = getattr(picture, "tile", ())  # which only files have
    return len(picture.getbands()) > 1 and any(";16" in str(tile.args) for tile in tiles)


def _hides_bands(picture: Image.Image) -> bool:
    """Whether a TIFF file has bands that Pillow leaves out: those that are no alpha channel."""
    return picture.tag_v2.get(SAMPLES_PER_PIXEL, 0) > len(picture.getbands())


def _is_tiff(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _picture_pixels(picture, path: object, channels: int) -> np.ndarray:
    mode, bands = picture.mode, len(picture.getbands())
    transparent = mode in ("RGBA", "LA", "PA") or "transparency" in picture.info
    if transparent and bands != channels:
        alpha = _loaded(picture, path, "RGBA")[..., 3]
        if alpha.min(initial=255) < 255:
            share = 100 * float((alpha < 255).mean())
            raise ValueError(
                f"{path} has transparency ({mode}, {bands} channels, {share:.1f} % of the pixels "
                f"below 255), and the network takes {channels}. Flatten it first, for example with "
                "Pillow: Image.open(path).convert('RGB').save(path)."
            )
        return _loaded(picture, path, "L" if channels == 1 else "RGB")
    if mode in DEEP_MODES or bands == channels > 3:
        return _loaded(picture, path)
    if mode not in PICTURE_MODES:
        raise ValueError(
            f"{path} has pixels of mode {mode!r}, and images of 8 bits a channel are read. "
            "Convert it to 8-bit grey or RGB."
        )
    return _loaded(picture, path, "L" if channels == 1 else "RGB")


def _loaded(picture: Image.Image, path: Path, mode: str | None = None) -> np.ndarray:
    try:
        upright = ImageOps.exif_transpose(picture)
        return np.array(upright if mode is None else upright.convert(mode))
    except Exception as error:  # as above
        raise ValueError(f"{path} is cut short or damaged: {error}.") from error


def _classes_of_colors(rgb: np.ndarray, classes: ClassTable | None, ignored, path) -> np.ndarray:
    """(H, W, 3) colours → (H, W) int32 classes."""
    own = classes.colors if classes else ()
    known = {color: number for number, color in enumerate(own)}
    known.update(dict.fromkeys(ignored, IGNORE_CLASS))
    codes = rgb.astype(np.int32) @ np.int32([65536, 256, 1])
    present, positions = np.unique(codes, return_inverse=True)
    colors = [(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255) for code in present]
    unknown = [color for color in colors if color not in known]
    if unknown:
        raise ValueError(
            f"{path} is a colour picture with {len(unknown)} colours that the class table does not "
            f"have, for example {unknown[:3]}. A mask holds one class index a pixel (8-bit grey or "
            "palette PNG), or exactly the colours of the classes; list colours that mean unknown "
            'under "ignore" in classes.json, and do not save masks as JPEG or resize them smoothly.'
        )
    for color in (color for color in colors if own.count(color) > 1 and color not in ignored):
        sharing = [name for name, each in zip(classes.names, own, strict=True) if each == color]
        raise ValueError(
            f"{path} is a colour picture, and its colour {color} is that of several classes: "
            f"{', '.join(sharing)}. Give each class a colour of its own in classes.json."
        )
    numbers = np.array([known[color] for color in colors], np.int32)
    return numbers[positions].reshape(codes.shape)


def palette_picture(mask: np.ndarray, classes: ClassTable) -> Image.Image:
    """An (H, W) mask as a palette picture: class indices as values, their colours to the eye."""
    picture = Image.fromarray(mask.astype(np.uint8))
    picture.putpalette(palette_of(classes).tobytes())
    return picture


def colorize(mask: np.ndarray, classes: ClassTable) -> np.ndarray:
    """(H, W) classes → (H, W, 3) uint8 colours; unknown pixels are white."""
    return palette_of(classes)[mask.astype(np.uint8)]


def overlay(
    image: np.ndarray, mask: np.ndarray, classes: ClassTable, *, opacity: float = 0.5
) -> np.ndarray:
    """Blends the colours of a mask over its image; (H, W, C) uint8 → (H, W, 3) uint8.

    Of images with more than three channels the first three are shown, of two the first.
    """
    shown = image[..., : 3 if image.shape[-1] >= 3 else 1]
    pixels = np.broadcast_to(shown, (*image.shape[:2], 3)).astype(np.float32)
    blended = pixels * (1 - opacity) + colorize(mask, classes) * opacity
    return np.round(blended).astype(np.uint8)


def palette_of(classes: ClassTable) -> np.ndarray:
    """(256, 3) uint8 colours of mask values; unknown is white."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(classes)] = classes.colors
    palette[IGNORE_CLASS] = 255
    return palette
