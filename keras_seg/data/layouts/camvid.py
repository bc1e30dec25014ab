"""CamVid: SegNet's eleven classes at 480x360, and the original 32 colours at 960x720.

Brostow, Fauqueur, Cipolla, "Semantic object classes in video", Pattern Recognition Letters 2009;
grouping and splits of SegNet (arXiv:1511.00561).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.pairs import ValueMap
from keras_seg.data.layouts.split import (
    LayoutSplit,
    choose_split,
    files_of,
    first_folder,
    mapped_reader,
    pair_up,
    stems_in,
)
from keras_seg.data.reading.masks import read_mask
from keras_seg.names import IGNORE_CLASS

# Original class: (class in SegNet, None for void; colour of the original)
ORIGINAL = {
    "Animal": ("pedestrian", (64, 128, 64)),
    "Archway": ("building", (192, 0, 128)),
    "Bicyclist": ("bicyclist", (0, 128, 192)),
    "Bridge": ("building", (0, 128, 64)),
    "Building": ("building", (128, 0, 0)),
    "Car": ("car", (64, 0, 128)),
    "CartLuggagePram": ("pedestrian", (64, 0, 192)),
    "Child": ("pedestrian", (192, 128, 64)),
    "Column_Pole": ("pole", (192, 192, 128)),
    "Fence": ("fence", (64, 64, 128)),
    "LaneMkgsDriv": ("road", (128, 0, 192)),
    "LaneMkgsNonDriv": ("road", (192, 0, 64)),
    "Misc_Text": ("sign_symbol", (128, 128, 64)),
    "MotorcycleScooter": ("bicyclist", (192, 0, 192)),
    "OtherMoving": ("car", (128, 64, 64)),
    "ParkingBlock": ("pavement", (64, 192, 128)),
    "Pedestrian": ("pedestrian", (64, 64, 0)),
    "Road": ("road", (128, 64, 128)),
    "RoadShoulder": ("pavement", (128, 128, 192)),
    "Sidewalk": ("pavement", (0, 0, 192)),
    "SignSymbol": ("sign_symbol", (192, 128, 128)),
    "Sky": ("sky", (128, 128, 128)),
    "SUVPickupTruck": ("car", (64, 128, 192)),
    "TrafficCone": ("pole", (0, 0, 64)),
    "TrafficLight": ("sign_symbol", (0, 64, 64)),
    "Train": ("car", (192, 64, 128)),
    "Tree": ("tree", (128, 128, 0)),
    "Truck_Bus": ("car", (192, 128, 192)),
    "Tunnel": ("building", (64, 0, 64)),
    "VegetationMisc": ("tree", (192, 192, 0)),
    "Void": (None, (0, 0, 0)),
    "Wall": ("building", (64, 192, 0)),
}
CLASSES = ClassTable(
    (
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign_symbol",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ),
    (
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (0, 0, 192),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
)
VOID = 11
SPLITS = ("train", "val", "test")


def open_split(root: Path, split: str) -> LayoutSplit:
    """`train/` and `trainannot/` etc., or `701_StillsRaw_full/` and `LabeledApproved_full/`.

    The original archives have no split. Put `train.txt`, `val.txt` and `test.txt` beside them.
    """
    choose_split(split, SPLITS, "CamVid")
    if (root / "701_StillsRaw_full").is_dir():
        return _original(root, split)
    images = first_folder(root, split, layout="CamVid")
    masks = first_folder(root, f"{split}annot", layout="CamVid")
    pairs = pair_up(files_of(images, "*.png"), lambda stem: masks / f"{stem}.png", "CamVid")
    values = {value: value for value in range(VOID)} | {VOID: IGNORE_CLASS}
    return LayoutSplit(pairs, CLASSES, mapped_reader(values))


def _original(root: Path, split: str) -> LayoutSplit:
    images = root / "701_StillsRaw_full"
    masks = first_folder(root, "LabeledApproved_full", "LabeledApproved", layout="CamVid")
    stems = stems_in(root / f"{split}.txt", "CamVid's split")
    listed = [(stem, images / f"{stem}.png") for stem in stems]
    pairs = pair_up(listed, lambda stem: masks / f"{stem}_L.png", "CamVid")
    return LayoutSplit(pairs, CLASSES, partial(_read_original, *_original_tables()))


def _original_tables() -> tuple[ClassTable, ValueMap]:
    table = ClassTable(tuple(ORIGINAL), tuple(color for _, color in ORIGINAL.values()))
    groups = [group for group, _ in ORIGINAL.values()]
    number = {None: IGNORE_CLASS} | {name: i for i, name in enumerate(CLASSES.names)}
    return table, ValueMap({i: number[group] for i, group in enumerate(groups)})


def _read_original(table: ClassTable, value_map: ValueMap, path: Path) -> np.ndarray:
    return value_map(read_mask(path, table), path)
