"""Image files as arrays of pixels."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from keras_seg.data.reading.arrays import (
    ARRAY_SUFFIX,
    TIFF_SUFFIXES,
    as_image,
    image_and_known,
    read_array,
    stored_and_known,
)
from keras_seg.data.reading.ranges import ValueRange
from keras_seg.data.reading.tiff_codecs import missing_codec, needs_codec, read_page
from keras_seg.data.reading.tiff_tags import alpha_is_last, main_pages, mask_page, stated_nodata

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
    value_range: ValueRange | None = None,
    nodata: float | None = None,
) -> np.ndarray:
    """Reads an image file as (H, W, channels) uint8.

    Grey and RGB are converted into each other. Pictures are turned upright by their EXIF
    orientation. An alpha channel that is 255 everywhere is dropped unless the network takes it.
    TIFF files with several pages, or more than 8 bits in several channels, need tifffile. A .npy
    file holds (H, W), (H, W, channels) or (channels, H, W).

    Pixels without data become 0. `read_image_and_known` says which these are.

    Args:
        path: the image file.
        channels: number of channels to return. Unless it is 1 or 3, the file must have as many.
        value_range: (black, white) of images that do not have 8 bits, mapped to 0..255; or one such
            pair per band. 8-bit images are returned unchanged.
        nodata: a value that means "no data", besides that in the file.

    Returns: (height, width, channels) uint8.

    Raises: FileNotFoundError; ValueError for an unreadable file, for transparency, for another
        number of channels, or for more than 8 bits per channel without `value_range`.
    """
    return read_image_and_known(path, channels, value_range=value_range, nodata=nodata)[0]


def read_image_and_known(
    path: str | Path,
    channels: int = 3,
    *,
    value_range: ValueRange | None = None,
    nodata: float | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """As `read_image`, and which pixels hold data.

    A pixel holds no data if one of these says so: GDAL's nodata tag or `nodata`, if all bands have
    that value; NaN in a band; the mask or the alpha channel of a TIFF file.

    Returns: the image; and (height, width) bool, or None if all pixels hold data.

    Raises: as `read_image`.
    """
    path = Path(path)
    stored, known = read_stored(path, channels, nodata=nodata)
    return as_image(stored, known, channels, value_range, path), known


def read_stored(
    path: Path, channels: int, *, nodata: float | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """As `read_image_and_known`, with the values and the bands of the file.

    Returns: (height, width, bands) of any type, without transparency; and which pixels hold data.
    """
    pixels = array_or_picture(path)
    tiff = path.suffix.lower() in TIFF_SUFFIXES
    has_alpha, values = tiff and alpha_is_last(path), nodata_values(path, nodata)
    if isinstance(pixels, Image.Image):
        if pixels.mode == "P":  # the values are places in the palette
            values = ()
        pixels = _picture_pixels(pixels, path, channels, keeps_alpha=has_alpha)
    stored, known = stored_and_known(pixels, channels, path, nodata=values, has_alpha=has_alpha)
    mask = _stored_mask(path) if tiff else None
    if mask is not None and mask.shape == stored.shape[:2] and not mask.all():
        known = mask if known is None else known & mask
    return stored, known


def nodata_values(path: Path, stated: float | None) -> tuple[float, ...]:
    """The values of a file that mean "no data"."""
    in_file = stated_nodata(path) if path.suffix.lower() in TIFF_SUFFIXES else None
    return tuple(value for value in (in_file, stated) if value is not None)


def _stored_mask(path: Path) -> np.ndarray | None:
    """(H, W) bool from the mask of valid pixels in a TIFF file; None without one."""
    number = mask_page(path)
    return None if number is None else read_page(path, number) > 0


def picture_pixels(
    picture: Image.Image,
    channels: int,
    value_range: ValueRange | None = None,
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
    pixels = _picture_pixels(picture, name, channels)
    return image_and_known(pixels, channels, value_range, name)[0]


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
        # of the pages of a TIFF file some may be overviews and masks, which Pillow counts, too
        frames = (main_pages(path) if tiff else 0) or getattr(picture, "n_frames", 1)
        hidden = tiff and (frames != 1 or _hides_bands(picture))
        whole = not (_loses_bits(picture) or hidden)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no image file {path}.") from None
    except Exception as error:  # Pillow raises whatever damaged bytes lead it to
        if tiff and isinstance(error, UnidentifiedImageError) and _is_tiff(path):
            return read_array(path)
        raise ValueError(f"{path} cannot be read as an image: {error}.") from error
    if whole and tiff and (array := _beyond_pillow(picture, path)) is not None:
        return array
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


def _beyond_pillow(picture: Image.Image, path: Path) -> np.ndarray | None:
    """The pixels of a TIFF file that Pillow cannot decode, by another package; None otherwise.

    Raises: ValueError with the package to install, if its compression needs one.
    """
    try:
        picture.load()
    except Exception:  # Pillow raises whatever its decoders lead it to
        try:
            return read_array(path)
        except ValueError:
            compression = missing_codec(path)
            if compression is not None:
                raise ValueError(needs_codec(path, compression)) from None
    return None


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


def _picture_pixels(
    picture: Image.Image, path: object, channels: int, *, keeps_alpha: bool = False
) -> np.ndarray:
    mode, bands = picture.mode, len(picture.getbands())
    if keeps_alpha and bands == channels + 1:
        return loaded_pixels(picture, path)
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
