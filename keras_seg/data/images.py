"""Reading and writing of pictures and masks as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from keras_seg.data.classes import ClassTable
from keras_seg.names import IGNORE_CLASS


def read_image(path: str | Path, channels: int = 3) -> np.ndarray:
    """Reads a picture as (H, W, channels) uint8; grey and RGB become one another as needed.

    Raises: FileNotFoundError; ValueError for an unreadable file, for transparency, or for more
        than 8 bits a channel.
    """
    with _open(path) as picture:
        if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
            raise ValueError(
                f"{path} has transparency ({picture.mode}, {len(picture.getbands())} channels), "
                f"and the network takes {channels}. Flatten it first, for example with Pillow: "
                "Image.open(path).convert('RGB').save(path)."
            )
        if picture.mode not in ("1", "L", "P", "RGB", "YCbCr", "CMYK"):
            raise ValueError(
                f"{path} has pixels of mode {picture.mode!r}, and images of 8 bits a channel are "
                "read. Convert it to 8-bit grey or RGB."
            )
        try:
            pixels = np.asarray(picture.convert("L" if channels == 1 else "RGB"))
        except OSError as error:
            raise ValueError(f"{path} is cut short or damaged: {error}.") from error
    return pixels.reshape(*pixels.shape[:2], channels)


def read_mask(path: str | Path) -> np.ndarray:
    """Reads a mask as (H, W) int32; palette files give their indices.

    Raises: FileNotFoundError; ValueError for an unreadable file or one with colours.
    """
    with _open(path) as picture:
        if picture.mode not in ("1", "L", "P", "I", "I;16"):
            raise ValueError(
                f"{path} is a colour picture (mode {picture.mode!r}); a mask holds one class "
                "index a pixel. Save it as an 8-bit grey or palette PNG."
            )
        try:
            return np.array(picture, dtype=np.int32)
        except OSError as error:
            raise ValueError(f"{path} is cut short or damaged: {error}.") from error


def _open(path) -> Image.Image:
    try:
        return Image.open(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no image file {path}.") from None
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as an image: {error}.") from error


def palette_picture(mask: np.ndarray, classes: ClassTable) -> Image.Image:
    """An (H, W) mask as a palette picture: class indices as values, their colours to the eye."""
    picture = Image.fromarray(mask.astype(np.uint8))
    picture.putpalette(_palette(classes).tobytes())
    return picture


def colorize(mask: np.ndarray, classes: ClassTable) -> np.ndarray:
    """(H, W) classes → (H, W, 3) uint8 colours; unknown pixels are white."""
    return _palette(classes)[mask.astype(np.uint8)]


def overlay(
    image: np.ndarray, mask: np.ndarray, classes: ClassTable, *, opacity: float = 0.5
) -> np.ndarray:
    """Blends the colours of a mask over its image; (H, W, 1 or 3) uint8 → (H, W, 3) uint8."""
    pixels = np.broadcast_to(image, (*image.shape[:2], 3)).astype(np.float32)
    blended = pixels * (1 - opacity) + colorize(mask, classes) * opacity
    return np.round(blended).astype(np.uint8)


def _palette(classes: ClassTable) -> np.ndarray:
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(classes)] = classes.colors
    palette[IGNORE_CLASS] = 255
    return palette
