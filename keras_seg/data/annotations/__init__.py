"""Exports of annotation tools, chosen by a prefix or recognised by their files.

"labelme:FOLDER" reads what LabelMe writes. A new format is a file with `recognised` and
`open_split`, and a row of `ANNOTATIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np

from keras_seg.data.annotations import (
    coco,
    cvat,
    labelme,
    labelstudio,
    roboflow,
    supervisely,
    yolo,
)
from keras_seg.data.annotations.annotated_image import AnnotatedImage
from keras_seg.data.annotations.shapes import Drawing
from keras_seg.data.class_file import CLASS_FILE_NAME, read_class_file
from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.contents import ARCHIVES
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
    multi_label: bool | None = None,
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
        multi_label: whether masks are (H, W, labels) with 1 in every shape, also where shapes
            overlap, and without a channel for the background; None for what `classes.json` in the
            folder says. "range", "window" and "nodata" of `classes.json` are used, too.

    Raises: FileNotFoundError for a folder without such an export, and for missing images;
        ValueError for annotations that cannot be read, an unknown split, a table of another
        length, and for `multi_label` of an export whose masks have one class per pixel.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(no_export_folder(scheme, root))
    layout = ANNOTATIONS[scheme].open_split(root, split, strict=strict)
    path = root / CLASS_FILE_NAME
    stated = read_class_file(path) if path.exists() else None
    if multi_label is None:
        multi_label = stated is not None and stated.multi_label
    own = _labels_of(layout.classes) if multi_label else layout.classes
    if classes is not None:
        _check_classes(classes, own, scheme)
    if multi_label:
        _check_shapes(layout.read_truth(layout.pairs[0].mask), scheme, root)
    return PairedDataset(
        layout.pairs,
        partial(_truth, layout.read_truth, len(layout.classes), multi_label),
        name=root.name,
        split=split,
        classes=classes or own,
        channels=channels,
        names=layout.names,
        read_pixels=layout.read_pixels,
        reading=layout.reading,
        multi_label=multi_label,
        value_range=stated.value_range if stated else None,
        nodata=stated.nodata if stated else None,
    )


def no_export_folder(scheme: str, root: Path) -> str:
    """The message for an export whose folder does not exist."""
    if root.is_file():
        if root.suffix.lower() in ARCHIVES:
            remedy = f"Unpack it, and pass {scheme}:FOLDER with the folder that it unpacks to."
        else:
            remedy = f"Pass the folder that holds it: {scheme}:{root.parent}"
        return f"{root} is a file. {remedy}"
    return (
        f"There is no folder {root}. Pass {scheme}:FOLDER with the folder that the export "
        "unpacks to."
    )


def _truth(
    read: Callable, num_classes: int, multi_label: bool, item: AnnotatedImage
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """The mask of an image, or (mask, instances), from what a reader makes of its annotation."""
    truth = read(item)
    if not isinstance(truth, Drawing):
        return truth
    return truth.labels(num_classes) if multi_label else truth.classes()


def _labels_of(classes: ClassTable) -> ClassTable:
    """The classes without the background, which is not a label."""
    names = classes.names[1:]
    if not names:
        return classes
    colors = classes.colors[1:]
    return ClassTable.of_labels(names) if (0, 0, 0) in colors else ClassTable(names, colors)


def _check_shapes(truth: object, scheme: str, root: Path) -> None:
    """Refuses masks: they show one class per pixel."""
    if not isinstance(truth, Drawing):
        raise ValueError(
            f"{scheme} in {root} holds masks, which show one class per pixel. Received: "
            "multi_label=True. Export polygons, for example as COCO, or leave multi_label out."
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
