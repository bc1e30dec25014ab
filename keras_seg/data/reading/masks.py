"""Mask files as class indices, colours or labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from keras_seg.data.classes import ClassTable
from keras_seg.data.mask_values.pixels import (
    class_numbers,
    classes_of_colors,
    label_channels,
    without_alpha,
    without_equal_channels,
)
from keras_seg.data.reading.arrays import ARRAY_SUFFIX
from keras_seg.data.reading.images import DEEP_MODES, array_or_picture, loaded_pixels


def read_mask(
    path: str | Path,
    classes: ClassTable | None = None,
    ignored_colors: Sequence[tuple[int, int, int]] = (),
    *,
    grey_is_index: bool = True,
) -> np.ndarray:
    """Reads a mask file as (H, W) int32 class indices.

    Palette files give their indices. Masks are turned upright by their EXIF orientation. Floating-
    point files may hold whole numbers only. One-hot arrays give the number of the channel that is
    set. Transparency is dropped if it shows the same shape as the colours.

    Args:
        path: the mask file.
        classes: class table whose colours decode RGB masks.
        ignored_colors: colours that become 255.
        grey_is_index: whether an RGB mask with three equal channels holds class indices. Without
            `classes` it always does.

    Returns: (height, width) int32.

    Raises: FileNotFoundError; ValueError for an unreadable or JPEG file, for colours that `classes`
        does not have, for transparency that shows another shape than the colours, for fractions,
        and for pixels with several classes.
    """
    path = Path(path)
    pixels, colored = read_mask_pixels(path)
    if colored and (classes is None or grey_is_index) and not ignored_colors:
        pixels, colored = without_equal_channels(pixels)
    if colored:
        return classes_of_colors(pixels, classes, ignored_colors, path)
    return class_numbers(pixels, path)


def read_label_channels(
    path: str | Path, num_labels: int, values: tuple[int, ...] = ()
) -> np.ndarray:
    """Reads a multi-label mask: a .npy, TIFF or PNG file with one channel per label.

    Args:
        path: the mask file.
        num_labels: number of labels.
        values: the values of an absent and a present label, if they are not 0 and 1.

    Returns: (height, width, num_labels) uint8 of 0, 1 and 255.

    Raises: FileNotFoundError; ValueError for an unreadable file, another number of channels than
        `num_labels`, and other values.
    """
    path = Path(path)
    pixels = array_or_picture(path)
    if isinstance(pixels, Image.Image):
        refuse_lossy(pixels, path)
        pixels = loaded_pixels(pixels, path)
    return label_channels(pixels, num_labels, path, values)


def read_mask_pixels(path: Path) -> tuple[np.ndarray, bool]:
    """Reads a mask file undecoded.

    Returns: the pixels as stored, and whether they are (H, W, 3) colours.

    Raises: FileNotFoundError; ValueError for an unreadable or JPEG file, and for transparency that
        shows another shape than the colours.
    """
    picture = array_or_picture(path)
    if not isinstance(picture, Image.Image):
        deep = path.suffix.lower() == ".png"  # 16 bits in several channels
        return (without_equal_channels(picture)[0] if deep else picture), False
    refuse_lossy(picture, path)
    mode = picture.mode
    if mode in ("RGBA", "LA", "PA") or (mode == "RGB" and "transparency" in picture.info):
        pixels = loaded_pixels(picture, path, "RGBA" if mode == "RGB" else None)
        pixels = without_alpha(pixels, path)
        return (pixels, True) if pixels.shape[-1] == 3 else (pixels[..., 0], False)
    if mode == "RGB":
        return loaded_pixels(picture, path, "RGB"), True
    if mode not in ("1", "L", "P", *DEEP_MODES):
        raise ValueError(
            f"{path} is a colour picture (mode {mode!r}); a mask holds one class index per "
            "pixel. Save it as an 8-bit grey or palette PNG."
        )
    return loaded_pixels(picture, path), False


def refuse_lossy(picture: Image.Image, path: Path) -> None:
    """Raises ValueError for a mask with lossy compression, whatever its file is called."""
    compression = picture.info.get("compression")
    if picture.format in ("JPEG", "MPO", "JPEG2000") or compression in ("jpeg", "tiff_jpeg"):
        picture.close()
        raise ValueError(
            f"{path} is compressed as JPEG, which changes class indices. Export the mask again as "
            "PNG."
        )


def used_palette(path: str | Path) -> dict[int, tuple[int, int, int]]:
    """Returns value → colour for the values that a palette picture uses; {} for other files."""
    if Path(path).suffix.lower() == ARRAY_SUFFIX:
        return {}
    try:
        with Image.open(path) as picture:
            if picture.mode != "P":
                return {}
            palette = np.reshape(picture.getpalette("RGB"), (-1, 3)).tolist()
            used = [value for _, value in picture.getcolors()]
            return {value: tuple(palette[value]) for value in used if value < len(palette)}
    except Exception:  # reading the pixels reports the damage
        return {}
