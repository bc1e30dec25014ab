"""Nuclei under microscopes: photographs that the package holds, see nuclei/README.md."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.pairs import Pair, PairedDataset
from keras_seg.data.reading.masks import read_mask

CLASSES = ClassTable(("background", "nucleus"), ((0, 0, 0), (255, 176, 59)))
FOLDER = Path(__file__).with_name("nuclei")


def open_split(split: str) -> PairedDataset:
    """The images of a split, with masks and the number of the nucleus at each pixel."""
    names = json.loads((FOLDER / "splits.json").read_text())[split]
    pairs = [
        Pair(*(FOLDER / part / f"{name}.png" for part in ("images", "instances"))) for name in names
    ]
    return PairedDataset(
        pairs, _read_nuclei, name=FOLDER.name, split=split, classes=CLASSES, channels=3
    )


def _read_nuclei(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(mask of 0 and 1, instances), both (H, W) int32."""
    instances = read_mask(path)
    return (instances > 0).astype(np.int32), instances
