"""From the labels of an export to its classes."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from keras_seg.data.annotations.annotated_image import plain
from keras_seg.data.class_file import CLASS_FILE_NAME, read_class_file
from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.pairs import ValueMap
from keras_seg.names import IGNORE_CLASS, unknown_name

BACKGROUND = ("background", "_background_", "__background__")
"""Labels that become class 0."""
UNKNOWN = ("__ignore__",)
"""Labels whose pixels become 255, which nothing counts."""
LISTED = 3
"""Number of labels that a message shows."""


def class_table(
    root: Path, labels: Iterable[str], colors: dict[str, tuple[int, int, int]] | None = None
) -> ClassTable:
    """The classes of an export: background first, then its labels in their order.

    `classes.json` in the folder fixes names and order instead. It must have every label. With
    "multi_label" it need not name the background.

    Raises: ValueError for labels that `classes.json` does not have, and for none at all.
    """
    names = list(dict.fromkeys(plain(label) for label in labels))
    names = [name for name in names if name not in UNKNOWN]
    if "" in names:
        raise ValueError(f"{root} has a label without a name. Name it in the labelling tool.")
    stated = root / CLASS_FILE_NAME
    if stated.exists():
        file = read_class_file(stated)
        table = file.classes
        if file.multi_label and table.names[0].lower() not in BACKGROUND:
            table = ClassTable((BACKGROUND[0], *table.names), ((0, 0, 0), *table.colors))
        missing = [name for name in names if name not in (*table.names, *BACKGROUND)]
        if missing:
            raise ValueError(
                f"{stated} has no class {missing[:LISTED]}, which {root} labels. Add the names, "
                "or delete the file."
            )
        return table
    background = next((name for name in names if name.lower() in BACKGROUND), BACKGROUND[0])
    ordered = [background, *(name for name in names if name != background)]
    if len(ordered) == 1:
        raise ValueError(f"{root} names no class. Export again with labels.")
    folded = defaultdict(list)
    for name in ordered:
        folded[name.casefold()].append(name)
    alike = [group for group in folded.values() if len(group) > 1]
    if alike:
        warnings.warn(
            f"{root} has labels that differ in upper and lower case alone: {alike[0]}. They are "
            "separate classes. Rename one in the labelling tool if they are the same.",
            stacklevel=2,
        )
    if not colors:
        return ClassTable(tuple(ordered))
    return ClassTable(tuple(ordered), tuple(colors.get(name, (0, 0, 0)) for name in ordered))


def classes_of_values(root: Path, names: Mapping[int, str], listed_in: object) -> tuple:
    """The classes of masks that hold values, and the map from values to classes.

    The order is that of the values; `classes.json` in the folder fixes another, and its "ignore"
    lists values that mean unknown.

    Args:
        root: folder of the export.
        names: value in the masks → label.
        listed_in: where the user finds them, for messages.

    Returns: (ClassTable, ValueMap).

    Raises: ValueError for labels that `classes.json` does not have.
    """
    path = root / CLASS_FILE_NAME
    unknown = {IGNORE_CLASS: IGNORE_CLASS}
    if path.exists():
        table = class_table(root, names.values())
        unknown |= dict.fromkeys(read_class_file(path).ignored, IGNORE_CLASS)
    else:
        table = ClassTable(tuple(names.values()))
    numbers = {value: class_index(table, name) for value, name in names.items()}
    return table, ValueMap(numbers | unknown, listed_in=str(listed_in), exported=True)


def class_index(classes: ClassTable, label: str) -> int:
    """The class of a label; 255 for the labels that mean "unknown".

    Raises: ValueError for a label that is not a class.
    """
    name = plain(label)
    if name in UNKNOWN:
        return IGNORE_CLASS
    if name in classes.names:
        return classes.names.index(name)
    if name.lower() in BACKGROUND:
        return 0
    raise ValueError(unknown_name("label", name, classes.names))
