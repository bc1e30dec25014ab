"""The `classes.json` of a folder, written from what its files hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_seg.atomic_files import write_text
from keras_seg.data.annotations import ANNOTATIONS, recognise
from keras_seg.data.class_colors import default_colors
from keras_seg.data.class_file import CLASS_FILE_NAME
from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.naming import NameRule
from keras_seg.data.folder.scan import scan_folder
from keras_seg.data.mask_values.pixels import without_equal_channels
from keras_seg.data.open_by_name import open_dataset
from keras_seg.data.reading.masks import read_mask_pixels, used_palette
from keras_seg.names import IGNORE_CLASS

MOST_CLASSES = 64
"""More values or colours than these are no classes, but grey levels or a photograph."""


def write_class_table(
    source: str, classes: Sequence[str] | None = None, *, multi_label: bool | None = None
) -> tuple[Path, list[str]]:
    """Writes names, colours, mask values and the rule of the mask names to `classes.json`.

    Entries that the file has already are kept.

    Args:
        source: a folder, or kind:FOLDER for an export of an annotation tool.
        classes: names of the classes; by default those of the export, or numbers.
        multi_label: True to write "multi_label": true with the names of the labels, which are
            those of the shapes of an export, of the sub-folders of masks/, or `classes`.

    Returns: the path, and the entries that were added.

    Raises: ValueError for a data set whose classes are fixed, for masks that are no class maps, and
        for another number of names than of classes.
    """
    root, scheme = _root_of(source)
    path = root / CLASS_FILE_NAME
    stated = json.loads(path.read_text("utf-8-sig")) if path.exists() else {}
    if multi_label:
        named = None if scheme is not None or stated else ClassTable.of(classes)
        dataset = open_dataset(source, classes=named, multi_label=True)
        table = dataset.classes.to_dict() | {"multi_label": True}
    elif scheme is not None or stated:
        table = open_dataset(source).classes.to_dict()
    else:
        table = _table_of_masks(root)
    if scheme is None:
        table |= _name_rule(root)
    if classes is not None:
        if len(classes) != len(table["names"]):
            raise ValueError(
                f"The masks of {root} show {len(table['names'])} classes. Received: "
                f"{len(classes)} names: {', '.join(classes)}"
            )
        table["names"] = list(classes)
    added = {key: value for key, value in table.items() if key not in stated}
    if added:
        lines = [f" {json.dumps(k)}: {json.dumps(v)}" for k, v in (stated | added).items()]
        write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")
    return path, list(added)


def _root_of(source: str) -> tuple[Path, str | None]:
    """The folder of a data set, and the format if it is an export of an annotation tool."""
    scheme, colon, rest = source.partition(":")
    if Path(source).is_dir():
        return Path(source), recognise(Path(source))
    if colon and scheme in ANNOTATIONS and Path(rest).is_dir():
        return Path(rest), scheme
    raise ValueError(
        f"{CLASS_FILE_NAME} is written for a folder of images and masks, or for an export of an "
        f"annotation tool. Received: {source}"
    )


def _table_of_masks(root: Path) -> dict:
    """The entries for the values or colours in the training masks."""
    paths = [pair.mask for pair in scan_folder(root, "train").pairs()]
    values: set[int] = set()
    colors: set[tuple[int, ...]] = set()
    equal_channels = False
    for path in paths:
        pixels, colored = read_mask_pixels(path)
        if colored:
            pixels, colored = without_equal_channels(pixels)
            equal_channels |= not colored
        if colored:
            colors |= {tuple(map(int, c)) for c in np.unique(pixels.reshape(-1, 3), axis=0)}
        else:
            values |= {int(value) for value in np.unique(pixels)}
        if len(colors) > MOST_CLASSES or len(values) > MOST_CLASSES:
            raise ValueError(
                f"{path} and the masks before it hold more than {MOST_CLASSES} values or colours. "
                "These are grey levels or photographs, not classes."
            )
    if colors and values:
        raise ValueError(f"{root} has masks in colours and masks of class indices. Convert one.")
    if colors:
        return _table_of_colors(colors)
    return _table_of_values(values, {} if equal_channels else _palette(paths), equal_channels)


def _table_of_colors(colors: set[tuple[int, ...]]) -> dict:
    """Black first, which is the background by custom."""
    ordered = sorted(colors, key=lambda color: (color != (0, 0, 0), color))
    return {"names": _numbered(len(ordered)), "colors": [list(color) for color in ordered]}


def _table_of_values(
    values: set[int], palette: dict[int, tuple[int, int, int]], equal_channels: bool
) -> dict:
    """255 is a class if it and 0 are the only values; otherwise it means unknown."""
    if values != {0, IGNORE_CLASS}:
        values = values - {IGNORE_CLASS}
    ordered = sorted(values)
    if ordered == list(range(len(ordered))) or not ordered:
        ordered = list(range(max(2, len(ordered))))
    table: dict = {"names": _numbered(len(ordered))}
    if not equal_channels:
        shown = [palette[value] for value in ordered if value in palette]
        distinct = len(set(shown)) == len(ordered)
        default = default_colors(table["names"])
        table["colors"] = [list(color) for color in (shown if distinct else default)]
    if ordered != list(range(len(ordered))):
        table["values"] = ordered
    return table


def _palette(paths: Sequence[Path]) -> dict[int, tuple[int, int, int]]:
    """The colours in which palette files show their values."""
    colors: dict[int, tuple[int, int, int]] = {}
    for path in paths:
        colors |= used_palette(path)
    return colors


def _numbered(number: int) -> list[str]:
    if number == 2:
        return ["background", "object"]
    return ["background", *(f"class {i}" for i in range(1, number))]


def _name_rule(root: Path) -> dict:
    rule = scan_folder(root, "train").rule
    if rule == NameRule() or rule.image_prefix or rule.image_suffix:
        return {}
    stated = {"mask_prefix": rule.mask_prefix, "mask_suffix": rule.mask_suffix}
    return {key: affix for key, affix in stated.items() if affix}
