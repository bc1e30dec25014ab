"""Look into Person (Gong et al., arXiv:1703.05446): 20 parts of people and their clothes."""

from __future__ import annotations

from pathlib import Path

from keras_seg.data.classes import ClassTable
from keras_seg.data.layouts.split import LayoutSplit, choose_split, files_of, first_folder, pair_up

CLASSES = ClassTable(
    [
        "Background",
        "Hat",
        "Hair",
        "Glove",
        "Sunglasses",
        "UpperClothes",
        "Dress",
        "Coat",
        "Socks",
        "Pants",
        "Jumpsuits",
        "Scarf",
        "Skirt",
        "Face",
        "Left-arm",
        "Right-arm",
        "Left-leg",
        "Right-leg",
        "Left-shoe",
        "Right-shoe",
    ],
    (
        (0, 0, 0),
        (128, 0, 0),
        (255, 0, 0),
        (0, 85, 0),
        (170, 0, 51),
        (255, 85, 0),
        (0, 0, 85),
        (0, 119, 221),
        (85, 85, 0),
        (0, 85, 85),
        (85, 51, 0),
        (52, 86, 128),
        (0, 128, 0),
        (0, 0, 255),
        (51, 170, 221),
        (0, 255, 255),
        (85, 255, 170),
        (170, 255, 85),
        (255, 255, 0),
        (255, 170, 0),
    ),
)


def open_split(root: Path, split: str) -> LayoutSplit:
    """`TrainVal_images/` and `TrainVal_parsing_annotations/`, which may be nested twice."""
    choose_split(split, ("train", "val"), "LIP")
    outer = "TrainVal_images"
    images = first_folder(
        root,
        f"{outer}/{outer}/{split}_images",
        f"{outer}/{split}_images",
        f"{split}_images",
        layout="LIP",
    )
    outer = "TrainVal_parsing_annotations"
    masks = first_folder(
        root,
        f"{outer}/{outer}/{split}_segmentations",
        f"{outer}/{split}_segmentations",
        f"{split}_segmentations",
        layout="LIP",
    )
    pairs = pair_up(files_of(images), lambda stem: masks / f"{stem}.png", "LIP")
    return LayoutSplit(pairs, CLASSES)
