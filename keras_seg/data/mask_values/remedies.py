"""The line that a user has to write, which depends on where the masks come from."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Remedies:
    """What messages tell the user to write. Names in braces are filled in.

    Attributes:
        values: for masks whose values are not class indices. {values} are the values of the classes
            in order, {names} as many names.
        ignore: for a value {value} that means unknown.
        classes: for masks with more classes, {count} of them.
        values_ignoring: as `values`, if {value} is among them and means unknown.
        ignore_several: as `ignore` for several {values}; empty if only one value can be ignored.
        table: what defines the classes.
        whole: for values that are not whole numbers.
    """

    values: str
    ignore: str
    classes: str
    values_ignoring: str = ""
    ignore_several: str = ""
    table: str = "the classes"
    whole: str = "Resize masks with the nearest neighbour, and do not divide them."


CLASS_FILE = Remedies(
    values='write "values": {values} to classes.json',
    values_ignoring='write "values": {values}, "ignore": {value} to classes.json',
    ignore='write "ignore": {value} to classes.json',
    ignore_several='write "ignore": {values} to classes.json',
    classes="name {count} classes in classes.json",
    table="the class table",
)
"""For a folder with `classes.json`."""
NO_CLASS_FILE = Remedies(
    values='write {{"names": {names}, "values": {values}}} to classes.json',
    values_ignoring=(
        'write {{"names": {names}, "values": {values}, "ignore": {value}}} to classes.json'
    ),
    ignore='write {{"names": [...], "ignore": {value}}} to classes.json',
    classes="name {count} classes in classes.json",
)
"""For a folder without `classes.json`."""
ARRAYS = Remedies(
    values="renumber them: np.searchsorted({values}, masks)",
    values_ignoring=(
        "renumber them: np.where(masks == {value}, 255, np.searchsorted({values}, masks))"
    ),
    ignore="pass ignore_class={value} to the losses and metrics",
    classes="build the model with num_classes={count}",
)
"""For the user's own masks in `fit`, as NumPy arrays or in tf.data."""
ARRAY_DATASET = replace(
    ARRAYS, ignore="pass np.where(masks == {value}, 255, masks)", table="the class table"
)
"""For the user's own masks in an `ArrayDataset`, where only 255 means unknown."""
