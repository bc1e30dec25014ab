"""The class table: what the values of a mask mean and how they are drawn."""

from __future__ import annotations

import colorsys
import difflib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_seg.names import IGNORE_CLASS

LARGEST_VALUE = 2**16 - 1
"""Of masks whose values are no class indices; the table of a value is that long."""
KEYS = {"names", "colors", "palette", "ignore", "void_index", "range", "values", "multi_label"}
"""Of `classes.json`."""
SIDES = {"left": "right", "right": "left", "l_": "r_", "r_": "l_"}
SIDE = re.compile(r"\b(left|right)(?![a-z])|^[lr]_")


@dataclass(frozen=True)
class ClassTable:
    """Names and RGB colours of the mask values 0 .. num_classes - 1.

    Args:
        names: one name a class, in the order of the mask values.
        colors: one (red, green, blue) in 0..255 a class; left out, distinct colours are chosen.

    Raises: ValueError if there is no class, more than 255, a name twice or of half characters, or
    another number of colours than of names.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...] = ()

    def __post_init__(self):
        if isinstance(self.names, str):
            raise ValueError(
                f"names must be a list with the name of each class. Received: {self.names!r}"
            )
        names = tuple(str(name) for name in self.names)
        colors = tuple(_checked_color(color) for color in self.colors)
        if not 1 <= len(names) <= IGNORE_CLASS:
            raise ValueError(f"A class table holds 1 to {IGNORE_CLASS} classes. Received: {names}")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"Class names must differ from each other. Received twice: {twice}")
        unfit = [name for name in names if any("\ud800" <= letter <= "\udfff" for letter in name)]
        if unfit:
            raise ValueError(f"Class names must be text that UTF-8 can hold. Received: {unfit}")
        colors = colors or distinct_colors(len(names))
        if len(colors) != len(names):
            raise ValueError(
                f"A class table needs one colour a class. Received: {len(names)} names and "
                f"{len(colors)} colours"
            )
        if any(len(c) != 3 or not all(0 <= v <= 255 for v in c) for c in colors):
            raise ValueError(f"Colours are (red, green, blue) in 0..255. Received: {colors}")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "colors", colors)

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls, classes: ClassTable | Sequence[str] | None) -> ClassTable | None:
        """A table as it is, or one of names; None for None."""
        return classes if classes is None or isinstance(classes, cls) else cls(classes)

    @classmethod
    def numbered(cls, num_classes: int) -> ClassTable:
        """A table for masks of which only the number of classes is known."""
        return cls(tuple(f"class {i}" for i in range(num_classes)))

    def mirrored(self) -> tuple[int, ...]:
        """The class that each class becomes in a mirror: "left eye" the one of "right eye".

        Pairs are found by their names: the words left and right, or l_ and r_ in front.
        """
        names = [name.lower() for name in self.names]
        number = {name: i for i, name in enumerate(names)}
        swapped = (SIDE.sub(lambda found: SIDES[found[0]], name) for name in names)
        return tuple(number.get(name, i) for i, name in enumerate(swapped))

    def to_dict(self) -> dict:
        return {"names": list(self.names), "colors": [list(color) for color in self.colors]}

    @classmethod
    def from_dict(cls, table: dict) -> ClassTable:
        names = _checked_names(table["names"])
        return cls(tuple(names), tuple(map(tuple, table.get("colors") or ())))


def _checked_color(color) -> tuple[int, ...]:
    """Whole numbers; `ClassTable` looks at their number and range."""
    try:
        whole = not isinstance(color, str) and all(int(v) == v for v in color)
    except (TypeError, ValueError):
        whole = False
    if not whole:
        raise ValueError(
            f"Colours are (red, green, blue), whole numbers in 0..255. Received: {color!r}"
        )
    return tuple(int(v) for v in color)


@dataclass(frozen=True)
class ClassFile:
    """What `classes.json` says of a folder of images and masks.

    classes: the table.
    ignored: mask values that mean "unknown", besides 255.
    ignored_colors: colours of RGB masks that mean it.
    value_range: (black, white) of images with more than 8 bits; None where all have 8.
    values: the mask value of each class, where they are not 0, 1, 2, ...
    multi_label: whether masks have a channel for each class, of which several may hold at a pixel.
    colors_stated: whether the file lists colours; otherwise they were chosen for it.
    """

    classes: ClassTable
    ignored: tuple[int, ...] = ()
    ignored_colors: tuple[tuple[int, int, int], ...] = ()
    value_range: tuple[float, float] | None = None
    values: tuple[int, ...] = ()
    multi_label: bool = False
    colors_stated: bool = False


def read_class_file(path: Path) -> ClassFile:
    """Reads `classes.json`: {"names": [...], "colors": [[r, g, b], ...], "ignore": value or list}.

    `palette` is taken for `colors` (longer palettes are cut to the classes) and `void_index` for
    `ignore`, whose entries are mask values or colours. "range": [black, white] is for images of
    more than 8 bits, "values": [0, 255] for masks whose values are no class indices.
    "multi_label": true is for masks (H, W, C) in which several classes may hold at a pixel.
    Other keys are passed over, unless they look like one of these misspelt.

    Raises: ValueError that names the file and the entry that is wrong.
    """
    try:
        content = json.loads(path.read_text("utf-8-sig"))
        if not isinstance(content, dict) or "names" not in content:
            raise ValueError(
                f'it has no "names", the list with the name of each class. Received: {content!r}'[
                    :300
                ]
            )
        _check_keys(content)
        names = _checked_names(content["names"])
        colors = content.get("colors", content.get("palette", ()))[: len(names)]
        ignore = content.get("ignore", content.get("void_index", ()))
        ignore = _checked_ignore([ignore] if type(ignore) is int else ignore)
        return ClassFile(
            ClassTable(tuple(names), tuple(map(tuple, colors))),
            tuple(int(entry) for entry in ignore if not isinstance(entry, list)),
            tuple(tuple(map(int, entry)) for entry in ignore if isinstance(entry, list)),
            checked_range(content.get("range")),
            _checked_values(content.get("values", ()), names),
            _checked_multi_label(content),
            bool(colors),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        told = error if isinstance(error, ValueError) else repr(error)
        raise ValueError(
            f'{path} is no class table: {told}. It must look like {{"names": ["road", "car"], '
            '"colors": [[128, 64, 128], [0, 0, 142]], "ignore": 255}'
        ) from error


def checked_range(value_range) -> tuple[float, float] | None:
    """(black, white) as two numbers; ValueError unless white is the larger one."""
    if value_range is None:
        return None
    low, high = map(float, value_range)
    if not -math.inf < low < high < math.inf:
        raise ValueError(
            f"A range is [black, white], the smaller value first. Received: {list(value_range)}"
        )
    return low, high


def _check_keys(content: dict) -> None:
    """Other keys may stand in the file, but none that is likely a misspelt one."""
    for key in content.keys() - KEYS:
        nearest = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.8)
        if nearest:
            raise ValueError(f"Unknown entry {key!r}. Did you mean {nearest[0]!r}?")


def _checked_names(names) -> list:
    if not isinstance(names, list | tuple) or any(type(name) not in (str, int) for name in names):
        raise ValueError(f'"names" is a list with the name of each class. Received: {names!r}')
    return names


def _checked_ignore(entries) -> list:
    if not isinstance(entries, list | tuple) or not all(
        isinstance(entry, list) or (type(entry) is int and entry <= LARGEST_VALUE)
        for entry in entries
    ):
        raise ValueError(
            f'"ignore" is a mask value up to {LARGEST_VALUE}, or a list of values and colours. '
            f"Received: {entries!r}"
        )
    return list(entries)


def _checked_values(values, names) -> tuple[int, ...]:
    values = tuple(values)
    fitting = all(type(value) is int and 0 <= value <= LARGEST_VALUE for value in values)
    if values and not (fitting and len(values) == len(names) == len(set(values))):
        raise ValueError(
            f'"values" needs a whole number of 0 to {LARGEST_VALUE} for each of the {len(names)} '
            f"classes, all different. Received: {list(values)}"
        )
    return values


def _checked_multi_label(content: dict) -> bool:
    multi_label = content.get("multi_label", False)
    if not isinstance(multi_label, bool):
        raise ValueError(f'"multi_label" is true or false. Received: {multi_label!r}')
    if multi_label and content.get("values"):
        raise ValueError(
            '"values" are for masks of one channel, and "multi_label" masks have none.'
        )
    return multi_label


def distinct_colors(number: int) -> tuple[tuple[int, int, int], ...]:
    """The colours that a table of so many classes gets if none are stated."""
    return tuple(_distinct_color(index) for index in range(number))


def _distinct_color(index: int) -> tuple[int, int, int]:
    """Black for the first class, then hues a golden ratio apart, which never come near again."""
    if index == 0:
        return (0, 0, 0)
    hue, value = index * 0.618034 % 1, (0.95, 0.7, 0.85)[index % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75, value)
    return (round(255 * red), round(255 * green), round(255 * blue))
