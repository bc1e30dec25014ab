"""The default colours of a class table, and the names that mean background."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Sequence

Color = tuple[int, int, int]

BLACK = (0, 0, 0)
BACKGROUND_NAMES = ("background", "bg")
NUMBERED = re.compile(r"(class )?0")
"""The name of class 0 in a table without names of its own. Most such tables start with the
background."""
OKABE_ITO = "e69f00 56b4e9 009e73 f0e442 0072b2 d55e00 cc79a7"
"""The palette of Okabe and Ito without black. Colour-blind people can tell its colours apart."""
FURTHER = (
    "772200 882255 00ddaa 1100cc bb1144 3388ff 22eeff ff5577 88ffaa cc1188 "
    "661177 bb3300 117755 339944 6611ff 66ddcc eeaa77 11bb99 880033 cc11bb"
)
"""Each colour has the largest CIEDE2000 difference from all before it, from black and from white,
also as people without red or without green cones see them."""
PALETTE = tuple(
    (int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16))
    for code in f"{OKABE_ITO} {FURTHER}".split()
)


def is_background(name: str) -> bool:
    """Whether a class of this name is the background: "background", "__background__", "BG", ..."""
    return name.strip(" _-").lower() in BACKGROUND_NAMES


def default_colors(names: Sequence[str]) -> tuple[Color, ...]:
    """The colours of a table that names none.

    The first class is black if its name says that it is the background, or is "class 0". Otherwise
    it has a colour, because black over an image hides the image.
    """
    first = 0 if is_background(names[0]) or NUMBERED.fullmatch(names[0]) else 1
    return tuple(_color(first + index) for index in range(len(names)))


def label_colors(number: int) -> tuple[Color, ...]:
    """The default colours of labels, none of which is the background."""
    return tuple(_color(1 + index) for index in range(number))


def are_default_colors(names: Sequence[str], colors: Sequence[Color]) -> bool:
    """Whether colours are the default ones of this version or of version 0.1."""
    former = tuple(_former_color(index) for index in range(len(names)))
    return tuple(colors) in (default_colors(names), former)


def _color(index: int) -> Color:
    """Black for 0, then the palette, then hues at steps of the golden ratio, which never repeat."""
    if index == 0:
        return BLACK
    return PALETTE[index - 1] if index <= len(PALETTE) else _former_color(index)


def _former_color(index: int) -> Color:
    if index == 0:
        return BLACK
    hue, value = index * 0.618034 % 1, (0.95, 0.7, 0.85)[index % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, value)
    return (round(255 * red), round(255 * green), round(255 * blue))
