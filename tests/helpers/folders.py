"""Data folders on disk, as users lay them out."""

import json

import numpy as np
from PIL import Image

from tests.helpers.shapes import TINY_CLASSES


def write_folder(root, samples, *, classes=TINY_CLASSES, splits=None):
    """Writes samples as images/, masks/, classes.json and splits.json, and returns the folder."""
    (root / "images").mkdir(parents=True)
    (root / "masks").mkdir()
    for sample in samples:
        Image.fromarray(sample.image.squeeze()).save(root / "images" / f"{sample.name}.png")
        Image.fromarray(sample.mask.astype(np.uint8)).save(root / "masks" / f"{sample.name}.png")
    if classes is not None:
        (root / "classes.json").write_text(json.dumps(classes.to_dict()))
    if splits is not None:
        (root / "splits.json").write_text(json.dumps(splits))
    return root


def write_splits(root, train, val):
    """`write_folder` for the samples of two splits."""
    train, val = list(train), list(val)
    names = {"train": [s.name for s in train], "val": [s.name for s in val]}
    return write_folder(root, train + val, splits=names)
