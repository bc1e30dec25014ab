"""Images from memory as uint8 pixels: arrays, tensors, PIL pictures, and paths."""

from __future__ import annotations

from numbers import Number
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from keras_seg.data.dataset import Sample
from keras_seg.data.reading.images import picture_pixels, read_image, read_image_and_known
from keras_seg.data.reading.ranges import ValueRange, stretched

PICTURE_MODES = {1: "L", 3: "RGB"}
FEW_CHANNELS = 4
"""A longer last axis holds the columns of a grey picture, not channels."""
OVERSHOOT = 64
"""How far a cubic resize or a sharpening filter may push pixels beyond 0..255."""
OPENED = {False: "file", True: "io.BytesIO(data)"}
"""What to pass to Pillow: False for an open file, True for bytes."""
STANDARDISED = 10
"""Standardised pixels, (pixel - mean) / deviation, stay below this."""
WIDE = (np.uint16, np.int16)
"""16-bit types. Sensors use only 10, 12 or 14 of the bits, so their white is unknown."""


def as_pixels(
    image: Any,
    channels: int,
    value_range: ValueRange | None = None,
    *,
    what: str = "The image",
) -> np.ndarray:
    """Converts an image to (H, W, channels) uint8.

    Args:
        image: an array or tensor (NumPy, TensorFlow, PyTorch, JAX) of shape (H, W) or (H, W, C), a
            path, or a PIL picture. uint8 is kept; other types follow these rules:

            - With `value_range`, values are mapped from (black, white) to 0..255, as for files.
            - 32- and 64-bit integers and floats must be pixels in 0..255. Floats are rounded.
            - Floats up to 1 are refused: their range may be 0..255 or 0..1.
            - 16-bit integers need `value_range`.
        channels: number of channels that the network takes. Grey is repeated for 3.
        value_range: (black, white) of images of other types than uint8, or one pair per band.
        what: what messages call the image.

    Returns: (height, width, channels) uint8.

    Raises: ValueError for another shape, type or range, with the line that corrects it;
        FileNotFoundError for a path.

    Example:

        pixels = as_pixels(np.full((64, 64), 0.5), 3, value_range=(0, 1))
        pixels.shape, pixels.max()  # (64, 64, 3), 128
    """
    if isinstance(image, str | Path):
        return read_image(image, channels, value_range=value_range)
    if isinstance(image, Image.Image):
        return picture_pixels(image, channels, value_range, what)
    pixels = as_array(image, what)
    if pixels.ndim not in (2, 3) or 0 in pixels.shape:
        raise ValueError(
            f"{what} must have the shape (height, width) or (height, width, channels), in pixels. "
            f"Received: {pixels.dtype} of shape {pixels.shape}."
        )
    pixels = fit_channels(pixels, channels, what)
    return as_bytes(pixels, value_range, what)


def pixels_and_known(
    image: Any,
    channels: int,
    value_range: ValueRange | None = None,
    nodata: float | None = None,
    *,
    what: str = "The image",
) -> tuple[np.ndarray, np.ndarray | None]:
    """As `as_pixels`, and which pixels hold data.

    Args:
        nodata: a value of image files that means "no data".

    Returns: the image; and (height, width) bool, or None if all pixels hold data, as in everything
        but files.
    """
    if isinstance(image, str | Path):
        return read_image_and_known(image, channels, value_range=value_range, nodata=nodata)
    return as_pixels(image, channels, value_range, what=what), None


def as_array(image: Any, what: str = "The image") -> np.ndarray:
    """Converts to a NumPy array of numbers.

    Raises: ValueError for masked pixels and for anything that holds no numbers.
    """
    if isinstance(image, np.ma.MaskedArray) and np.ma.is_masked(image):
        count = int(np.ma.getmaskarray(image).sum())
        raise ValueError(
            f"{what} is a masked array with {count} masked values, which are no pixels. Fill them: "
            "image.filled(0)."
        )
    if hasattr(image, "detach"):  # PyTorch, also on a GPU or with gradients
        image = image.detach().cpu()
        image = image.float() if str(image.dtype) == "torch.bfloat16" else image
    try:
        pixels = np.asarray(image)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{what} is no array of pixels: {error}.") from error
    if pixels.dtype.name == "bfloat16":  # TensorFlow or JAX; NumPy has no such type
        pixels = pixels.astype(np.float32)
    if pixels.dtype.kind not in "buif":
        raise ValueError(
            f"{what} must be an array of numbers, a path or a PIL picture. Received: "
            f"{type(image).__name__} of {pixels.dtype}."
        )
    return pixels


def as_bytes(pixels: np.ndarray, value_range: ValueRange | None, what: str) -> np.ndarray:
    """Converts numbers to uint8 pixels, by the rules of `as_pixels`.

    Raises: ValueError if black and white are ambiguous.
    """
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.bool_:
        raise ValueError(
            f"{what} has pixels of type bool, and an image has brightness from 0 to 255. If True "
            "is white, pass image.astype('uint8') * 255."
        )
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise ValueError(f"{what} holds values that are not finite. Replace them first.")
    if value_range is not None:
        return stretched(pixels, value_range, what)
    low, high = pixels.min(), pixels.max()
    if pixels.dtype.kind == "f" and low > -0.5 and 1 < high < 255.5:
        return np.rint(pixels).clip(0, 255).astype(np.uint8)
    received = f"{what} has pixels of type {pixels.dtype} from {low:g} to {high:g}"
    if pixels.dtype.kind == "f" and low >= 0 and 0 < high <= 1:
        raise ValueError(
            f"{received}, and the network takes 0 to 255. If 1 is white, pass image * 255, or "
            "value_range=(0, 1)."
        )
    if low < 0 or high > 255 or pixels.dtype in WIDE:
        remedy = _remedy(low, high, pixels)
        raise ValueError(f"{received}, and images of 0 to 255 are taken. {remedy}")
    return np.rint(pixels).astype(np.uint8)


def _remedy(low: float, high: float, pixels: np.ndarray) -> str:
    """What to do with numbers outside 0..255."""
    if pixels.dtype.kind == "f" and low < 0 and max(-low, high) <= STANDARDISED:
        remedy = "Pass the pixels before that."
        if max(-low, high) <= 1:
            remedy = (
                "If -1 is black and 1 is white, pass (image + 1) * 127.5, or value_range=(-1, 1)."
            )
        return f"They seem to be normalised, which the network does itself. {remedy}"
    if pixels.dtype.kind == "f" and low >= -OVERSHOOT and high <= 255 + OVERSHOOT:
        return "If a filter or a smooth resize brought them there, pass image.clip(0, 255)."
    black, white = (0, _white(high)) if low >= 0 else (int(np.floor(low)), int(np.ceil(high)))
    stated = (
        "State which values are black and white, for example "
        f"value_range=({black}, {max(white, black + 1)})."
    )
    if low < 0 or high > 255:
        return stated
    return f"{stated} If they are pixels in 0 to 255, pass image.astype('uint8')."


def _white(largest: float) -> int:
    return 2 ** max(8, int(np.ceil(largest)).bit_length()) - 1


def fit_channels(pixels: np.ndarray, channels: int, what: str = "The image") -> np.ndarray:
    """Arranges (H, W) or (H, W, C) as (H, W, channels). Grey is repeated for three channels.

    Raises: ValueError if the channels do not fit, with the line that converts them.
    """
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    count = pixels.shape[2]
    if count == channels:
        return pixels
    if count == 1 and channels == 3:
        return np.repeat(pixels, 3, axis=2)
    received = f"Received: {count} channels in an array of shape {pixels.shape}"
    if pixels.shape[0] == channels:
        remedy = (
            "They seem to come first. Pass (height, width, channels): image.transpose(1, 2, 0), "
            "of a batch images.transpose(0, 2, 3, 1)"
        )
    elif channels == 1 and count in (3, 4):
        remedy = "Convert it to grey first: Image.fromarray(image).convert('L')"
    elif (count, channels) in ((4, 3), (2, 1)):
        remedy = (
            f"If the last one is transparency that is 255 everywhere, pass image[..., :{channels}];"
            f" if not, flatten it: Image.open(path).convert({PICTURE_MODES[channels]!r})"
        )
    else:
        remedy = f"Pass an image with the {channels} channels that the network was trained on"
    raise ValueError(f"{what}: the network takes {channels} channels. {received}. {remedy}.")


def is_grey_batch(array: Any) -> bool:
    """Whether three axes are (N, H, W): the last is too long for channels."""
    shape = getattr(array, "shape", ())
    return len(shape) == 3 and shape[-1] > FEW_CHANNELS


def holds_objects(array: Any) -> bool:
    """Whether `array` is an array of Python objects, such as images of different sizes."""
    return isinstance(array, np.ndarray) and array.dtype.kind == "O"


def _are_numbers(images: list | tuple) -> bool:
    """Whether nested lists contain numbers, as those from `array.tolist()` do."""
    while isinstance(images, list | tuple) and images:
        images = images[0]
    return isinstance(images, Number)


def sorted_out(images: Any) -> tuple[bool, np.ndarray | list]:
    """Tells one image from several.

    One image is a path, a PIL picture, or an array or tensor with two or three axes, also as nested
    lists of numbers. Four axes are a batch. Any other iterable, also an array of objects, is a list
    of images.

    Returns: whether it is one image, and the batch or list of images.

    Raises: ValueError for anything that holds no images.
    """
    if isinstance(images, str | Path | Image.Image):
        return True, [images]
    if isinstance(images, Sample):
        return True, [images.image]
    if isinstance(images, list | tuple) and _are_numbers(images):
        images = as_array(images)
    if isinstance(images, list | tuple) or holds_objects(images):
        return False, [each.image if isinstance(each, Sample) else each for each in images]
    if hasattr(images, "shape") and hasattr(images, "dtype"):
        pixels = as_array(images)
        if pixels.ndim == 4:
            return False, pixels
        return True, [pixels]
    if hasattr(images, "read") or isinstance(images, bytes):
        raise ValueError(
            f"Open it with Pillow: Image.open({OPENED[isinstance(images, bytes)]}). Received: "
            f"{type(images).__name__}."
        )
    if hasattr(images, "__iter__") and not isinstance(images, dict):
        return sorted_out(list(images))
    raise ValueError(
        "Images are arrays or tensors, paths or PIL pictures, one or a list of them. Received: "
        f"{type(images).__name__}."
    )
