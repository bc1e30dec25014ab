"""Folders of images with squares that overlap, one label per colour channel."""

import json

import numpy as np
from PIL import Image

LABELS = ("roof", "wall", "tree")
SIZE = (24, 32)


def draw(index, size=SIZE):
    """(image (H, W, 3) uint8, labels (H, W, 3) uint8 of 0 and 1)."""
    random = np.random.default_rng(index)
    labels = np.zeros((*size, 3), np.uint8)
    for label in range(3):
        top, left = random.integers(0, size[0] - 12), random.integers(0, size[1] - 12)
        labels[top : top + 12, left : left + 12, label] = 1
    return (labels * 150 + random.integers(1, 90, labels.shape)).astype(np.uint8), labels


def write_labels(root, count=8, *, multi_label=True, classes=True):
    """Writes masks of all labels as .npy, or masks of the first label against the rest as PNG."""
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for index in range(count):
        image, labels = draw(index)
        Image.fromarray(image).save(root / "images" / f"{index}.png")
        if multi_label:
            np.save(root / "masks" / f"{index}.npy", labels)
        else:
            Image.fromarray(labels[..., 0]).save(root / "masks" / f"{index}.png")
    table = {"names": LABELS, "multi_label": True}
    if classes:
        table = table if multi_label else {"names": ["background", "roof"]}
        (root / "classes.json").write_text(json.dumps(table))
    return root
