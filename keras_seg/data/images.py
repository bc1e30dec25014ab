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
from keras_seg.data.mask_values.pixels import (
    class_numbers,
    classes_of_colors,
    label_channels,
    without_alpha,
    without_equal_channels,
)
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
    *,
    grey_is_index: bool = True,
) -> np.ndarray:
    """Reads a mask as (H, W) int32; palette files give their indices, EXIF turns them upright.

    Whole numbers with a point are read as such. Arrays of one channel for each class, of which one
    is set at each pixel, give the number of that channel. Transparency is dropped where the
    colours tell all that it does.

    Args:
        classes: its colours say which class a colour of an RGB mask means.
        ignored_colors: colours that mean 255.
        grey_is_index: whether an RGB mask whose three channels are equal holds class indices;
            without `classes` it always does.

    Raises: FileNotFoundError; ValueError for an unreadable or JPEG file, for colours that `classes`
        does not have, for transparency that is a shape of its own, fractions, and pixels of
        several classes.
    """
    path = Path(path)
    pixels, colored = read_mask_pixels(path)
    if colored and (classes is None or grey_is_index) and not ignored_colors:
        pixels, colored = without_equal_channels(pixels)
    if colored:
        return classes_of_colors(pixels, classes, ignored_colors, path)
    return class_numbers(pixels, path)


def read_label_channels(path: str | Path, num_labels: int) -> np.ndarray:
    """Reads a multi-label mask, a .npy or TIFF file of (H, W, C) → (H, W, C) uint8 of 0, 1 and 255.

    Raises: FileNotFoundError; ValueError for an unreadable file, another number of channels than
        `num_labels`, and other values.
    """
    path = Path(path)
    pixels = _array_or_picture(path)
    if isinstance(pixels, Image.Image):
        refuse_lossy(pixels, path)
        pixels = _loaded(pixels, path)
    return label_channels(pixels, num_labels, path)


def read_mask_pixels(path: Path) -> tuple[np.ndarray, bool]:
    """The pixels of a mask file as they are, and whether they are (H, W, 3) colours.

    Raises: FileNotFoundError; ValueError for an unreadable or JPEG file, and for transparency that
        is a shape of its own.
    """
    picture = _array_or_picture(path)
    if not isinstance(picture, Image.Image):
        deep = path.suffix.lower() == ".png"  # 16 bits of several channels
        return (without_equal_channels(picture)[0] if deep else picture), False
    refuse_lossy(picture, path)
    mode = picture.mode
    if mode in ("RGBA", "LA", "PA") or (mode == "RGB" and "transparency" in picture.info):
        pixels = _loaded(picture, path, "RGBA" if mode == "RGB" else None)
        pixels = without_alpha(pixels, path)
        return (pixels, True) if pixels.shape[-1] == 3 else (pixels[..., 0], False)
    if mode == "RGB":
        return _loaded(picture, path, "RGB"), True
    if mode not in ("1", "L", "P", *DEEP_MODES):
        raise ValueError(
            f"{path} is a colour picture (mode {mode!r}); a mask holds one class index a "
            "pixel. Save it as an 8-bit grey or palette PNG."
        )
    return _loaded(picture, path), False


def refuse_lossy(picture: Image.Image, path: Path) -> None:
    """ValueError for a mask that was compressed with loss, whatever the ending of its file."""
    compression = picture.info.get("compression")
    if picture.format in ("JPEG", "MPO", "JPEG2000") or compression in ("jpeg", "tiff_jpeg"):
        picture.close()
        raise ValueError(
            f"{path} is compressed as JPEG, which changes class indices. Export the mask again as "
            "PNG."
        )


def stored_pixels(path: str | Path) -> np.ndarray:
    """An image file's pixels as they are stored, of any type and number of channels.

    Raises: as `read_image` for unreadable files.
    """
    pixels = _array_or_picture(Path(path))
    return _loaded(pixels, Path(path)) if isinstance(pixels, Image.Image) else pixels


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
