"""Exports of annotation tools, chosen by a prefix or recognised by their files.

"labelme:FOLDER" reads what LabelMe writes. A new format is a file with `recognised` and
`open_split`, and a row of `ANNOTATIONS`.
"""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from keras_seg.data.annotations import (
    coco,
    cvat,
    labelme,
    labelstudio,
    roboflow,
    supervisely,
    yolo,
)
from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.pairs import PairedDataset

ANNOTATIONS: dict[str, ModuleType] = {
    "cvat": cvat,
    "roboflow": roboflow,
    "supervisely": supervisely,
    "yolo": yolo,
    "coco": coco,
    "labelme": labelme,
    "labelstudio": labelstudio,
}
"""Format → its reader. Without a prefix the first that recognises a folder reads it."""


def recognise(root: Path) -> str | None:
    """The format of an export; None for any other folder, such as images/ with masks/."""
    masks = [root / part / "masks" for part in (".", "train", "training")]
    plain_folder = any(folder.is_dir() for folder in masks)
    for name, reader in ANNOTATIONS.items():
        if plain_folder and reader is not yolo:
            continue
        if reader.recognised(root):
            return name
    return None


def open_annotations(
    scheme: str,
    root: str | Path,
    split: str = "train",
    *,
    classes: ClassTable | None = None,
    channels: int = 3,
    strict: bool = True,
) -> PairedDataset:
    """Opens a split of an export.

    Args:
        scheme: one of `ANNOTATIONS`.
        root: the folder that the export unpacks to.
        split: "train", "val" or "test". Where the export has no validation split, a fixed 20 %
            of its training images is used for validation.
        classes: other names and colours, of as many classes.
        channels: as `FolderDataset`.
        strict: whether a missing image is an error. Otherwise it is left out with a warning.

    Raises: FileNotFoundError for a folder without such an export, and for missing images;
        ValueError for annotations that cannot be read, an unknown split, or a table of another
        length.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(
            f"There is no folder {root}. Pass {scheme}:FOLDER with the folder that the export "
            "unpacks to."
        )
    layout = ANNOTATIONS[scheme].open_split(root, split, strict=strict)
    if classes is not None:
        _check_classes(classes, layout.classes, scheme)
    return PairedDataset(
        layout.pairs,
        layout.read_truth,
        name=root.name,
        split=split,
        classes=classes or layout.classes,
        channels=channels,
        names=layout.names,
        read_pixels=layout.read_pixels,
        reading=layout.reading,
    )


def _check_classes(classes: ClassTable, own: ClassTable, scheme: str) -> None:
    if len(classes) != len(own):
        raise ValueError(
            f"This {scheme} export has {len(own)} classes ({', '.join(own.names[:6])}). Received a "
            f"table of {len(classes)}: {', '.join(classes.names[:6])}"
        )
    if sorted(classes.names) == sorted(own.names) and classes.names != own.names:
        raise ValueError(
            f"This {scheme} export has the classes in the order {', '.join(own.names)}. Received "
            f"them in another: {', '.join(classes.names)}. To choose the order, write it to "
            'classes.json in the folder: {"names": [...]}.'
        )
