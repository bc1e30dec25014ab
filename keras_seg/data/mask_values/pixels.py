"""Converts the pixels of mask files to class indices.

Handles transparency, three equal channels, floating-point numbers and one channel per class.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_seg.data.class_colors import are_default_colors
from keras_seg.data.classes import ClassTable
from keras_seg.data.mask_values.counts import count_labels
from keras_seg.data.mask_values.findings import label_findings
from keras_seg.data.mask_values.remedies import CLASS_FILE
from keras_seg.names import IGNORE_CLASS

OPAQUE = 255
MULTI_LABEL = 'If a pixel may have several labels, write "multi_label": true to classes.json.'
EXAMPLES = 8
"""Number of colours or values that a message lists."""


class ValuesOutside(ValueError):
    """A mask holds values or colours that are not classes."""


class UnknownColors(ValuesOutside):
    """A mask is a colour picture, and some of its colours are not those of classes.

    Args:
        message: what is wrong.
        colors: the colours without a class.
    """

    def __init__(self, message: str, colors: Sequence[tuple[int, int, int]]) -> None:
        super().__init__(message)
        self.colors = tuple(colors)


def whole_numbers(pixels: np.ndarray, path: Path) -> np.ndarray:
    """Converts numbers of any type to int32.

    Raises: ValuesOutside for fractions and NaN; ValueError for values beyond 32 bits.
    """
    if pixels.dtype.kind == "f":
        findings = label_findings(
            count_labels(pixels),
            num_classes=2**31,
            subject=str(path),
            plural=False,
            remedies=CLASS_FILE,
        )
        for finding in findings:
            if finding.kind in ("not finite", "fractional"):
                soft = pixels.ndim == 3 and finding.kind == "fractional"
                cure = " Of probabilities, save the argmax over the classes." if soft else ""
                raise ValuesOutside(finding.message + cure)
    with np.errstate(invalid="ignore"):  # for values beyond 32 bits, which are found below
        numbers = pixels.astype(np.int32)
    if pixels.dtype.itemsize > 2 and not np.array_equal(numbers, pixels):
        raise ValueError(f"{path} holds values beyond 32 bits, which are no classes.")
    return numbers


def class_numbers(pixels: np.ndarray, path: Path) -> np.ndarray:
    """Converts the array of a mask file to (H, W) int32 values.

    (H, W), (H, W, 1) and (1, H, W) hold the values. (H, W, C) and (C, H, W) are one-hot: 1 (or
    True, or 255) in the channel of the pixel's class and 0 in the others. In a mask of 0 and 1, 255
    in all channels means unknown.

    Raises: ValueError for another shape, for pixels with several classes or none, and as
        `whole_numbers`.
    """
    if pixels.ndim == 3 and 1 in (pixels.shape[0], pixels.shape[-1]):
        pixels = pixels[..., 0] if pixels.shape[-1] == 1 else pixels[0]
    if pixels.ndim not in (2, 3) or not pixels.size:
        raise ValueError(
            f"{path} holds an array of shape {pixels.shape} and type {pixels.dtype}; a mask is "
            "(height, width) of whole numbers, or (height, width, classes) of 0 and 1."
        )
    numbers = whole_numbers(pixels, path)
    return numbers if numbers.ndim == 2 else _one_hot(numbers, path)


def _one_hot(numbers: np.ndarray, path: Path) -> np.ndarray:
    """The number of the channel that is set: (H, W, C) or (C, H, W) → (H, W)."""
    values = set(count_labels(numbers))
    what = f"{path} holds an array of shape {numbers.shape}"
    if not values <= {0, 1, IGNORE_CLASS}:
        others = sorted(values - {0, 1, IGNORE_CLASS})
        raise ValuesOutside(
            f"{what} with values such as {others[:EXAMPLES]}; a mask with several channels holds 1 "
            "in the channel of a pixel's class and 0 in the others. Save class indices as (height, "
            "width), and colours as an RGB PNG."
        )
    for axis in (-1, 0):
        channels = np.moveaxis(numbers, axis, -1)
        number_set = np.count_nonzero(channels, axis=-1)
        unknown = (channels == IGNORE_CLASS).all(axis=-1) & (1 in values)
        if ((number_set == 1) | unknown).all():
            classes = channels.argmax(axis=-1).astype(np.int32)
            return np.where(unknown, np.int32(IGNORE_CLASS), classes)
    number_set = np.count_nonzero(numbers, axis=-1)
    several, none = (number_set > 1).mean(), (number_set == 0).mean()
    raise ValuesOutside(
        f"{what} in which {several:.1%} of the pixels have several channels set and {none:.1%} "
        "have none; exactly one channel must be set. "
        + (
            MULTI_LABEL
            if several
            else "If these pixels are background, give it a channel of its own. " + MULTI_LABEL
        )
    )


def label_channels(
    pixels: np.ndarray, num_labels: int, path: Path, values: Sequence[int] = ()
) -> np.ndarray:
    """Converts an array (H, W, C) with one channel per label to uint8 of 0, 1 and 255.

    `values` are those of an absent and a present label, if they are not 0 and 1.

    Raises: ValueError for another number of channels and other values.
    """
    if pixels.ndim == 2 and num_labels == 1:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[-1] != num_labels:
        raise ValueError(
            f'{path} holds an array of shape {pixels.shape}, and with "multi_label" a mask is '
            f"(height, width, {num_labels}): one channel for each of the {num_labels} labels of "
            "classes.json."
        )
    numbers = whole_numbers(pixels, path)
    held = set(count_labels(numbers))
    if values:
        if not held <= {*values, IGNORE_CLASS}:
            raise ValuesOutside(
                f"{path} holds the values {sorted(held)[: 2 * EXAMPLES]}, and classes.json names "
                f'{list(values)} as the values of an absent and a present label. Correct "values", '
                "or convert the masks."
            )
        unknown = np.where(numbers == IGNORE_CLASS, IGNORE_CLASS, 0)
        present = np.where(numbers == values[1], 1, unknown)
        return np.where(numbers == values[0], 0, present).astype(np.uint8)
    if not held <= {0, 1, IGNORE_CLASS} or held == {0, IGNORE_CLASS}:
        received = sorted(held)[: 2 * EXAMPLES]
        raise ValuesOutside(
            f"{path} holds the values {received}, and the channels of a multi-label mask hold 0 "
            f"and 1, and {IGNORE_CLASS} where a label is unknown. "
            + (
                'Divide them by 255, or write "values": [0, 255] to classes.json.'
                if held == {0, IGNORE_CLASS}
                else "Convert them."
            )
        )
    return numbers.astype(np.uint8)


def without_alpha(pixels: np.ndarray, path: Path) -> np.ndarray:
    """Drops the alpha channel if it shows the same shape as the colours.

    This is the case if everything is opaque, or if exactly the transparent pixels are black.

    Shapes: (H, W, n + 1) with alpha last → (H, W, n).

    Raises: ValuesOutside otherwise, because the shape may be in the colours or in alpha.
    """
    colors, alpha = pixels[..., :-1], pixels[..., -1]
    if alpha.min(initial=OPAQUE) == OPAQUE:
        return colors
    clear, black = alpha == 0, (colors == 0).all(axis=-1)
    if np.array_equal(clear, black) and (alpha[~clear] == OPAQUE).all():
        return colors
    raise ValuesOutside(
        f"{path} is transparent in {(alpha < OPAQUE).mean():.1%} of the pixels, and its colours do "
        "not show the same shape as its transparency. If the opaque part is the object, save that "
        "as the mask, for example with Pillow: Image.open(path).getchannel('A').point(lambda a: a "
        "> 127).save(path). If the colours are right, drop the transparency: "
        f"Image.open(path).convert('{'L' if colors.shape[-1] == 1 else 'RGB'}').save(path)."
    )


def without_equal_channels(colors: np.ndarray) -> tuple[np.ndarray, bool]:
    """Takes one of three equal channels. Also returns whether the channels differ."""
    if (colors == colors[..., :1]).all():
        return colors[..., 0], False
    return colors, True


def classes_of_colors(
    rgb: np.ndarray,
    classes: ClassTable | None,
    ignored: Sequence[tuple[int, int, int]],
    path: Path,
) -> np.ndarray:
    """Converts colours to classes: (H, W, 3) uint8 → (H, W) int32. `ignored` colours become 255.

    Raises: ValueError for a colour that the table lacks, or that several classes share.
    """
    own = classes.colors if classes else ()
    known = {color: number for number, color in enumerate(own)}
    known.update(dict.fromkeys(ignored, IGNORE_CLASS))
    codes = rgb.astype(np.int32) @ np.int32([65536, 256, 1])
    present, positions = np.unique(codes, return_inverse=True)
    colors = [(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255) for code in present]
    unknown = [color for color in colors if color not in known]
    if unknown:
        fitting = np.array([color in known for color in colors])
        share = 1 - fitting[positions].mean()
        raise UnknownColors(_unknown_colors(unknown, share, colors, classes, path), unknown)
    for color in (color for color in colors if own.count(color) > 1 and color not in ignored):
        sharing = [name for name, each in zip(classes.names, own, strict=True) if each == color]
        raise ValueError(
            f"{path} is a colour picture, and its colour {color} is that of several classes: "
            f"{', '.join(sharing)}. Give each class a colour of its own in classes.json."
        )
    numbers = np.array([known[color] for color in colors], np.int32)
    return numbers[positions].reshape(codes.shape)


def _unknown_colors(
    unknown: Sequence[tuple[int, int, int]],
    share: float,
    colors: Sequence[tuple[int, int, int]],
    classes: ClassTable | None,
    path: Path,
) -> str:
    message = (
        f"{path} is a colour picture with {len(unknown)} colours that the class table does not "
        f"have, for example {unknown[:3]}, in {share:.1%} of the pixels. A mask holds one class "
        "index per pixel (8-bit grey or palette PNG), or exactly the colours of the classes"
    )
    if all(red == green == blue for red, green, blue in colors):
        return (
            f"{message}. The three channels of this one are equal: if they hold class indices, "
            "save one of them, for example with Pillow: Image.open(path).getchannel(0).save(path)."
        )
    listed = [list(color) for color in colors]
    if not classes and len(colors) <= EXAMPLES:
        names = ", ".join(f'"class {number}"' for number in range(len(colors)))
        return f'{message}. Write {{"names": [{names}], "colors": {listed}}} to classes.json.'
    default = classes is not None and are_default_colors(classes.names, classes.colors)
    if default and len(colors) <= EXAMPLES:
        return (
            f"{message}, which nothing lists yet. This one has the colours {listed}: write those "
            'of all classes, in the order of the names, as "colors": [...] to classes.json.'
        )
    return (
        f'{message}; list colours that mean unknown under "ignore" in classes.json, and do not '
        "save masks as JPEG or resize them smoothly."
    )
