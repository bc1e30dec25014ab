"""Roboflow: semantic masks with `_classes.csv`, or its COCO and YOLO exports."""

from __future__ import annotations

import csv
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np

from keras_seg.data.annotations import coco, yolo
from keras_seg.data.annotations.annotated_image import (
    SPLIT_NAMES,
    AnnotatedImage,
    Parts,
    plain,
    split_folder,
)
from keras_seg.data.annotations.class_labels import LISTED, classes_of_values
from keras_seg.data.annotations.export_folder import layout_of, read_lines
from keras_seg.data.folder.pictures import IMAGE_SUFFIXES
from keras_seg.data.layouts.split import LayoutSplit
from keras_seg.data.reading.masks import read_mask

TOOL = "Roboflow"
CLASS_LIST = "_classes.csv"
MASK_ENDING = "_mask"


def recognised(root: Path) -> bool:
    """Whether a folder holds Roboflow's semantic masks."""
    return bool(_class_lists(root))


def open_split(root: Path, split: str, *, strict: bool = True) -> LayoutSplit:
    """`SPLIT/X.jpg` with `SPLIT/X_mask.png` and `SPLIT/_classes.csv`; `valid` is "val"."""
    lists = _class_lists(root)
    if not lists:
        for other in (coco, yolo):
            if other.recognised(root):
                return other.open_split(root, split, strict=strict)
        raise FileNotFoundError(
            f"{root} has no {CLASS_LIST}, no COCO file and no data.yaml. Export from Roboflow as "
            '"Semantic Segmentation Masks".'
        )
    tables = {path: _read_classes(path) for path in lists}
    (first, values), *others = tables.items()
    for path, more in others:
        if more != values:
            raise ValueError(f"{path} lists other classes than {first}. Export all splits at once.")
    classes, value_map = classes_of_values(root, values, first)

    def read_truth(item: AnnotatedImage, image: Path) -> np.ndarray:
        return value_map(read_mask(item.source), item.source)

    parts: Parts = defaultdict(list)
    for part in SPLIT_NAMES:
        folder = split_folder(root, part)
        parts[part] = _items(folder, strict) if folder else []
    parts[""] = _items(root, strict) if root in {path.parent for path in lists} else []
    return layout_of(root, split, parts, classes, read_truth, tool=TOOL, strict=strict)


def _class_lists(root: Path) -> list[Path]:
    return [p for p in (root / CLASS_LIST, *sorted(root.glob(f"*/{CLASS_LIST}"))) if p.is_file()]


def _read_classes(path: Path) -> dict[int, str]:
    """Pixel value → class name, by value."""
    rows = list(csv.reader(read_lines(path), skipinitialspace=True))
    first = 0 if rows and rows[0][0].strip().isdecimal() else 1
    try:
        values = {int(row[0]): plain(", ".join(row[1:])) for row in rows[first:] if row}
    except (ValueError, IndexError) as error:
        raise ValueError(
            f"{path} must have the columns Pixel Value and Class. Received: {rows[:2]}"
        ) from error
    if not values:
        raise ValueError(f"{path} lists no class. Export again.")
    if "" in values.values():
        raise ValueError(f"{path} lists a value without a class. Received: {rows[:LISTED]}")
    return dict(sorted(values.items()))


def _items(folder: Path, strict: bool) -> list[AnnotatedImage]:
    masks = {path.stem: path for path in sorted(folder.glob("*.png"))}
    items = []
    for image in sorted(folder.iterdir()):
        own = image.suffix.lower() in IMAGE_SUFFIXES and not image.stem.endswith(MASK_ENDING)
        if not own:
            continue
        mask = masks.get(image.stem + MASK_ENDING)
        if mask is None:
            missing = f"{image} has no mask {image.stem}{MASK_ENDING}.png."
            if strict:
                raise FileNotFoundError(f"{missing} Export again.")
            warnings.warn(f"Left out: {missing}", stacklevel=2)
            continue
        items.append(AnnotatedImage(image.name, mask, None, image))
    return items
