"""The class table: names and colours of the values in a mask."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras_seg.data.class_colors import BLACK, default_colors, is_background, label_colors
from keras_seg.names import IGNORE_CLASS
from keras_seg.safety.text import not_encodable

SIDES = {"left": "right", "right": "left", "l_": "r_", "r_": "l_"}
SIDE = re.compile(r"\b(left|right)(?![a-z])|^[lr]_")


@dataclass(frozen=True)
class ClassTable:
    """Names and RGB colours of the mask values 0..num_classes-1.

    Args:
        names: one name per class, in the order of the mask values.
        colors: one (red, green, blue) in 0..255 per class; by default colours that
            colour-blind people can tell apart, too.

    Raises: ValueError for no class, more than 255 classes, a repeated name, a name that UTF-8
        cannot encode, and for another number of colours than of names.

    Example:

        table = keras_seg.data.ClassTable(("background", "cell"), ((0, 0, 0), (255, 0, 0)))
        len(table)  # 2
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...] = ()

    def __post_init__(self) -> None:
        if isinstance(self.names, str | int):
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
        if unfit := not_encodable(names):
            raise ValueError(f"Class names must be text that UTF-8 can hold. Received: {unfit}")
        colors = colors or default_colors(names)
        if len(colors) != len(names):
            raise ValueError(
                f"A class table needs one colour per class. Received: {len(names)} names and "
                f"{len(colors)} colours"
            )
        if any(len(c) != 3 or not all(0 <= v <= 255 for v in c) for c in colors):
            raise ValueError(f"Colours are (red, green, blue) in 0..255. Received: {colors}")
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "colors", colors)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def background(self) -> int | None:
        """The class that overlays leave alone; None if all classes are shown.

        It is the class with the name "background", "bg" or "__background__". If there is none, it
        is class 0, provided that its colour is black.

        Example:
            >>> keras_seg.data.ClassTable(("background", "cell")).background
            0
            >>> keras_seg.data.ClassTable(("road", "car")).background is None
            True
        """
        named = next((i for i, name in enumerate(self.names) if is_background(name)), None)
        return 0 if named is None and self.colors[0] == BLACK else named

    @classmethod
    def of(cls, classes: ClassTable | Sequence[str] | None) -> ClassTable | None:
        """Converts names to a table. A table, or None, is returned unchanged."""
        return classes if classes is None or isinstance(classes, cls) else cls(classes)

    @classmethod
    def of_labels(cls, names: Sequence[str]) -> ClassTable:
        """A table for labels of which a pixel may have several; no label is black.

        Example:
            >>> keras_seg.data.ClassTable.of_labels(("roof", "wall")).colors[0] == (0, 0, 0)
            False
        """
        return cls(tuple(names), label_colors(len(names)))

    @classmethod
    def numbered(cls, num_classes: int) -> ClassTable:
        """A table with the names "class 0", "class 1", ..."""
        return cls(tuple(f"class {i}" for i in range(num_classes)))

    def mirrored(self) -> tuple[int, ...]:
        """The class index that each class gets in a mirrored image.

        "left eye" becomes "right eye" and vice versa: pairs are recognised by the words left and
        right in their names, or by a leading l_ and r_.
        """
        names = [name.lower() for name in self.names]
        number = {name: i for i, name in enumerate(names)}
        swapped = (SIDE.sub(lambda match: SIDES[match[0]], name) for name in names)
        return tuple(number.get(name, i) for i, name in enumerate(swapped))

    def to_dict(self) -> dict:
        """The table ready for JSON."""
        return {"names": list(self.names), "colors": [list(color) for color in self.colors]}

    @classmethod
    def from_dict(cls, table: dict) -> ClassTable:
        """The inverse of `to_dict`."""
        names = checked_names(table["names"])
        return cls(tuple(names), tuple(map(tuple, table.get("colors") or ())))


def _checked_color(color: Any) -> tuple[int, ...]:
    """Whole numbers. `ClassTable` checks their number and range."""
    try:
        whole = not isinstance(color, str) and all(int(v) == v for v in color)
    except (TypeError, ValueError):
        whole = False
    if not whole:
        raise ValueError(
            f"Colours are (red, green, blue), whole numbers in 0..255. Received: {color!r}"
        )
    return tuple(int(v) for v in color)


def checked_names(names: Any) -> list:
    """The entry "names" of a table as read from JSON.

    Raises: ValueError for anything but a list of names.
    """
    if not isinstance(names, list | tuple) or any(type(name) not in (str, int) for name in names):
        raise ValueError(f'"names" is a list with the name of each class. Received: {names!r}')
    return names
