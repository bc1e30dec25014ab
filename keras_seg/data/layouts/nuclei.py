"""Data Science Bowl 2018: one mask file per nucleus (Caicedo et al., Nature Methods 2019)."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.pairs import Pair
from keras_seg.data.layouts.split import LayoutSplit, choose_split
from keras_seg.data.reading.images import read_image

CLASSES = ClassTable(("background", "nucleus"))
VALIDATION_SHARE = 0.1


def open_split(root: Path, split: str) -> LayoutSplit:
    """`ID/images/ID.png` and `ID/masks/*.png`, in `stage1_train/` or directly in the folder.

    A fixed 10 % of the training images is used for validation, because the competition does not
    publish the masks of its test stage. Nuclei are also returned as instances.
    """
    choose_split(split, ("train", "val"), "DSB 2018")
    root = root / "stage1_train" if (root / "stage1_train").is_dir() else root
    folders = sorted(path for path in root.iterdir() if (path / "masks").is_dir())
    if not folders:
        raise FileNotFoundError(
            f"{root} does not have the layout of DSB 2018: no sub-folder holds masks/. Pass the "
            "folder that stage1_train.zip unpacks to."
        )
    shuffled = random.Random(0).sample(folders, len(folders))
    held_out = max(1, round(len(folders) * VALIDATION_SHARE))
    chosen = sorted(shuffled[:held_out] if split == "val" else shuffled[held_out:])
    pairs = [Pair(f / "images" / f"{f.name}.png", f / "masks") for f in chosen]
    return LayoutSplit(pairs, CLASSES, read_nuclei)


def read_nuclei(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """(mask of 0 and 1, instances from 1 in the order of the file names), both (H, W) int32."""
    instances = None
    for number, path in enumerate(sorted(folder.glob("*.png")), start=1):
        drawn = read_image(path, channels=1)[..., 0] > 0
        if instances is None:
            instances = np.zeros(drawn.shape, np.int32)
        if instances.shape != drawn.shape:
            raise ValueError(f"{path} differs in size from the other masks of its image.")
        instances[drawn] = number
    if instances is None:
        raise FileNotFoundError(f"There is no mask in {folder}. Unpack the archive again.")
    return (instances > 0).astype(np.int32), instances
