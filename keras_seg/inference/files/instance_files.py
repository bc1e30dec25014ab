"""The objects of an image as files: a label image and a table."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from keras_seg.data.reading.images import stored_pixels
from keras_seg.inference.instance_map import Instance, Instances

LABELS_ENDINGS = ("_instances.png", "_instances.tif")
"""Endings of label images: of up to 65,535 objects, and of more."""
TABLE_ENDING = "_instances.csv"
MOST_IN_PNG = 2**16 - 1
COLUMNS = ("id", "class", "name", "score", "area", "left", "top", "width", "height", "x", "y")


def labels_ending(objects: Instances) -> str:
    """Ending of the label image: 16 bits as PNG if they suffice, else 32 bits as TIFF."""
    return LABELS_ENDINGS[len(objects) > MOST_IN_PNG]


def write_labels(path: Path, objects: Instances) -> None:
    """Writes the label image: the number of the object at each pixel, 0 for none."""
    small = len(objects) <= MOST_IN_PNG
    pixels = objects.labels.astype(np.uint16 if small else np.int32)
    Image.fromarray(pixels).save(path, "PNG" if small else "TIFF")


def write_table(path: Path, objects: Sequence[Instance]) -> None:
    """Writes one row per object. Sizes and places are in pixels."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for each in objects:
            score = "" if each.score is None else f"{each.score:.6f}"
            centre = (f"{value:.2f}" for value in each.centre)
            writer.writerow(
                (each.number, each.label, each.name, score, each.area, *each.box, *centre)
            )


def read_objects(base: Path) -> Instances:
    """The objects in the files of a prediction; base: their path without the endings."""
    paths = [base.with_name(base.name + ending) for ending in LABELS_ENDINGS]
    labels = stored_pixels(next(path for path in paths if path.exists())).astype(np.int32)
    objects = []
    table = base.with_name(base.name + TABLE_ENDING)
    with table.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            left, top, width, height = (int(row[n]) for n in ("left", "top", "width", "height"))
            objects.append(
                Instance(
                    int(row["id"]),
                    int(row["class"]),
                    row["name"],
                    int(row["area"]),
                    (left, top, width, height),
                    (float(row["x"]), float(row["y"])),
                    float(row["score"]) if row["score"] else None,
                )
            )
    return Instances(labels, objects)
