"""Cityscapes (Cordts et al., arXiv:1604.01685): 34 label ids, 19 of them trained and evaluated."""

from __future__ import annotations

from pathlib import Path

from keras_seg.data.classes import ClassTable
from keras_seg.data.layouts.split import (
    LayoutSplit,
    choose_split,
    first_folder,
    mapped_reader,
    pair_up,
)
from keras_seg.names import IGNORE_CLASS

# label id: (name, colour) in the order of the train ids 0..18
TRAINED = {
    7: ("road", (128, 64, 128)),
    8: ("sidewalk", (244, 35, 232)),
    11: ("building", (70, 70, 70)),
    12: ("wall", (102, 102, 156)),
    13: ("fence", (190, 153, 153)),
    17: ("pole", (153, 153, 153)),
    19: ("traffic light", (250, 170, 30)),
    20: ("traffic sign", (220, 220, 0)),
    21: ("vegetation", (107, 142, 35)),
    22: ("terrain", (152, 251, 152)),
    23: ("sky", (70, 130, 180)),
    24: ("person", (220, 20, 60)),
    25: ("rider", (255, 0, 0)),
    26: ("car", (0, 0, 142)),
    27: ("truck", (0, 0, 70)),
    28: ("bus", (0, 60, 100)),
    31: ("train", (0, 80, 100)),
    32: ("motorcycle", (0, 0, 230)),
    33: ("bicycle", (119, 11, 32)),
}
LABEL_IDS = 34
CLASSES = ClassTable(*map(tuple, zip(*TRAINED.values(), strict=True)))
SPLITS = ("train", "val", "train_extra")
IMAGE_ENDING = "_leftImg8bit"


def train_ids() -> dict[int, int]:
    """Label id → train id; 255 for ids that are not evaluated, and for 255."""
    numbers = dict.fromkeys([*range(LABEL_IDS), IGNORE_CLASS], IGNORE_CLASS)
    return numbers | {label: number for number, label in enumerate(TRAINED)}


def open_split(root: Path, split: str) -> LayoutSplit:
    """`leftImg8bit/SPLIT/CITY/` with `gtFine/SPLIT/CITY/` (`gtCoarse` for train_extra)."""
    choose_split(split, SPLITS, "Cityscapes")
    images = first_folder(root, f"leftImg8bit/{split}", layout="Cityscapes")
    kind = "gtCoarse" if split == "train_extra" else "gtFine"
    masks = first_folder(root, f"{kind}/{split}", layout="Cityscapes")

    files = [
        (path.stem.removesuffix(IMAGE_ENDING), path)
        for path in images.glob(f"*/*{IMAGE_ENDING}.png")
    ]
    pairs = pair_up(
        files,
        lambda key: masks / key.split("_")[0] / f"{key}_{kind}_labelIds.png",
        "Cityscapes",
    )
    return LayoutSplit(
        pairs, CLASSES, mapped_reader(train_ids()), names=[key for key, _ in sorted(files)]
    )
