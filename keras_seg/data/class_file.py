"""`classes.json`, which says what the values in the masks of a folder mean."""

from __future__ import annotations

import difflib
import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_seg.data.classes import ClassTable, checked_names
from keras_seg.data.reading.ranges import MEASURED, ValueRange, checked_range, range_of_window

CLASS_FILE_NAME = "classes.json"
LARGEST_VALUE = 2**16 - 1
"""Largest mask value that is not a class index, because the lookup table has that length."""
KEYS = {
    *("names", "colors", "palette", "ignore", "void_index", "values", "multi_label"),
    *("range", "window", "nodata", "mask_prefix", "mask_suffix"),
}
NAMES_ELSEWHERE = ("classes", "class_names", "labels", "categories", "id2label")
"""Keys under which other tools list the names of the classes."""
SHOWN_TEXT = 200
"""Number of characters of a file's content in a message."""


@dataclass(frozen=True)
class ClassFile:
    """The content of `classes.json`.

    Attributes:
        classes: the class table.
        ignored: mask values that mean "unknown", besides 255.
        ignored_colors: colours of RGB masks that mean "unknown".
        value_range: (black, white) of images with more than 8 bits, or one such pair per band;
            "auto" to measure it in the training images; None if all have 8 bits.
        values: the mask value of each class, if they are not 0, 1, 2, ...; with `multi_label` the
            values of an absent and a present label, if they are not 0 and 1.
        multi_label: whether masks have one channel per class and a pixel may have several classes.
        colors_stated: whether the file lists colours.
        mask_prefix, mask_suffix: what the name of a mask has before and after the name of its
            image.
        nodata: value of image pixels that hold no data.
    """

    classes: ClassTable
    ignored: tuple[int, ...] = ()
    ignored_colors: tuple[tuple[int, int, int], ...] = ()
    value_range: ValueRange | str | None = None
    values: tuple[int, ...] = ()
    multi_label: bool = False
    colors_stated: bool = False
    mask_prefix: str = ""
    mask_suffix: str = ""
    nodata: float | None = None


def read_class_file(path: Path) -> ClassFile:
    """Reads a `classes.json`. Only "names" is required:

        {
            "names": ["background", "cell"],
            "colors": [[0, 0, 0], [255, 0, 0]],
            "ignore": 254,
            "values": [0, 128],
            "range": [0, 4095],
            "multi_label": false,
            "mask_suffix": "_mask"
        }

    "colors" (or "palette", which may be longer) are the colours of the classes. "ignore" (or
    "void_index") is a mask value that means unknown, or a list of values and colours. "values" are
    the mask values of the classes, if they are not 0, 1, 2, ... "range" is black and white of
    images with more than 8 bits, one such pair per band, or "auto"; "window" says it as the centre
    and the width of a DICOM window. "nodata" is the value of image pixels that hold no data. With
    "multi_label" masks are (H, W, C) and a pixel may have several classes; "values" are then
    [absent, present], such as [0, 255]. "mask_prefix" and "mask_suffix" say how the names of masks
    differ from those of their images; without them the rule is found from the names. Other keys are
    ignored, unless they look like a misspelt one of these.

    Raises: ValueError that names the file and the wrong entry.
    """
    try:
        content = json.loads(path.read_text("utf-8-sig"))
        if not isinstance(content, dict) or "names" not in content:
            other = next((key for key in NAMES_ELSEWHERE if key in content), None)
            hint = f' Write "names" in place of "{other}".' if other else ""
            received = textwrap.shorten(repr(content), SHOWN_TEXT)
            raise ValueError(
                f'it has no "names", the list with the name of each class.{hint} Received: '
                f"{received}"
            )
        _check_keys(content)
        names = checked_names(content["names"])
        colors = content.get("colors", content.get("palette", ()))[: len(names)]
        ignore = content.get("ignore", content.get("void_index", ()))
        ignore = _checked_ignore([ignore] if type(ignore) is int else ignore)
        multi_label = _checked_multi_label(content)
        table = ClassTable(tuple(names), tuple(map(tuple, colors)))
        return ClassFile(
            ClassTable.of_labels(table.names) if multi_label and not colors else table,
            tuple(int(entry) for entry in ignore if not isinstance(entry, list)),
            tuple(tuple(map(int, entry)) for entry in ignore if isinstance(entry, list)),
            _range_of(content),
            _checked_values(content.get("values", ()), names, multi_label),
            multi_label,
            bool(colors),
            *_checked_affixes(content),
            _checked_nodata(content.get("nodata")),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = error if isinstance(error, ValueError) else repr(error)
        raise ValueError(
            f'{path} is not a class table: {reason}. It must look like {{"names": ["road", "car"], '
            '"colors": [[128, 64, 128], [0, 0, 142]], "ignore": 255}'
        ) from error


def _checked_nodata(nodata: Any) -> float | None:
    if nodata is not None and (isinstance(nodata, bool) or not isinstance(nodata, int | float)):
        raise ValueError(f'"nodata" is a number, such as -9999. Received: {nodata!r}')
    return nodata


def _range_of(content: dict) -> ValueRange | str | None:
    """The range that "range" or "window" states; MEASURED for "auto"."""
    value_range, window = content.get("range"), content.get("window")
    if value_range is not None and window is not None:
        raise ValueError('"range" and "window" both say what is black and white. Keep one of them')
    if value_range == MEASURED:
        return MEASURED
    return checked_range(value_range) if window is None else range_of_window(window)


def _check_keys(content: dict) -> None:
    """Refuses keys that are probably misspelt; other unknown keys are allowed."""
    for key in content.keys() - KEYS:
        nearest = difflib.get_close_matches(key, KEYS, n=1, cutoff=0.8)
        if nearest:
            raise ValueError(f"Unknown entry {key!r}. Did you mean {nearest[0]!r}?")


def _checked_ignore(entries: Any) -> list:
    if not isinstance(entries, list | tuple) or not all(
        isinstance(entry, list) or (type(entry) is int and entry <= LARGEST_VALUE)
        for entry in entries
    ):
        raise ValueError(
            f'"ignore" is a mask value up to {LARGEST_VALUE}, or a list of values and colours. '
            f"Received: {entries!r}"
        )
    return list(entries)


def _checked_values(values: Any, names: list, multi_label: bool) -> tuple[int, ...]:
    values = tuple(values)
    fitting = all(type(value) is int and 0 <= value <= LARGEST_VALUE for value in values)
    if values and multi_label:
        if not (fitting and len(values) == len(set(values)) == 2):
            raise ValueError(
                'With "multi_label", "values" are the values of an absent and a present label, '
                f"such as [0, 255]. Received: {list(values)}"
            )
        return values
    if values and not (fitting and len(values) == len(names) == len(set(values))):
        raise ValueError(
            f'"values" needs a whole number of 0 to {LARGEST_VALUE} for each of the {len(names)} '
            f"classes, all different. Received: {list(values)}"
        )
    return values


def _checked_affixes(content: dict) -> tuple[str, str]:
    prefix, suffix = content.get("mask_prefix", ""), content.get("mask_suffix", "")
    for key, text in (("mask_prefix", prefix), ("mask_suffix", suffix)):
        if not isinstance(text, str) or "/" in text or "\\" in text:
            raise ValueError(
                f'"{key}" is a part of a file name, such as "_mask". Received: {text!r}'
            )
    return prefix, suffix.removesuffix(".png")


def _checked_multi_label(content: dict) -> bool:
    multi_label = content.get("multi_label", False)
    if not isinstance(multi_label, bool):
        raise ValueError(f'"multi_label" is true or false. Received: {multi_label!r}')
    return multi_label
