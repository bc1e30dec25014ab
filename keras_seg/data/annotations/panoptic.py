"""COCO's panoptic format (Kirillov et al., arXiv:1801.00868): a PNG file of segment ids per image.

A pixel's id is red + 256 green + 65536 blue. The JSON file has the category of each id; pixels
without one are unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from keras_seg.data.annotations.annotated_image import AnnotatedImage
from keras_seg.data.annotations.class_labels import class_index
from keras_seg.data.classes import ClassTable
from keras_seg.names import IGNORE_CLASS

SEGMENTS = "segments_info"
PLACES = np.array([1, 256, 256**2], np.int32)
"""The values of red, green and blue in an id."""


@dataclass(frozen=True)
class PanopticMask:
    """The mask of one image.

    Attributes:
        picture: the PNG file.
        labels: label of each segment id.
        crowds: ids of segments that are groups of objects, or no objects.
    """

    picture: Path
    labels: dict[int, str]
    crowds: frozenset[int]


def is_panoptic(content: Mapping) -> bool:
    """Whether the annotations of a COCO file are panoptic."""
    return any(isinstance(a, dict) and SEGMENTS in a for a in content["annotations"])


def panoptic_images(
    content: Mapping, categories: Mapping[int | str, str], path: Path
) -> list[AnnotatedImage]:
    """The images that a panoptic file annotates.

    Args:
        content: the JSON file.
        categories: category id → label.
        path: the file. The PNG files are in the folder of its name, or in any folder beside it.

    Raises: FileNotFoundError for a missing PNG file; ValueError for an unknown category.
    """
    things = {c["id"]: bool(c.get("isthing", 1)) for c in content["categories"]}
    by_image = {a["image_id"]: a for a in content["annotations"]}
    images = []
    for image in content["images"]:
        annotation = by_image.get(image["id"])
        if annotation is None:
            continue
        labels, crowds = {}, set()
        for segment in annotation[SEGMENTS]:
            number = segment["category_id"]
            if number not in categories:
                raise ValueError(
                    f"{path}: {image['file_name']} has the category {number!r}, which is not "
                    f"listed. Known: {sorted(categories, key=str)}"
                )
            labels[int(segment["id"])] = categories[number]
            if segment.get("iscrowd") or not things.get(number, True):
                crowds.add(int(segment["id"]))
        picture = _picture(path, annotation["file_name"])
        mask = PanopticMask(picture, labels, frozenset(crowds))
        images.append(AnnotatedImage(str(image["file_name"]), path, mask))
    return images


def _picture(path: Path, name: str) -> Path:
    """The PNG file, in the folder of the JSON file's name or in another beside it."""
    folders = [path.with_suffix(""), *sorted(p for p in path.parent.iterdir() if p.is_dir())]
    named = [p for p in folders if p == path.with_suffix("") or "panoptic" in p.name.lower()]
    picture = next((folder / name for folder in named if (folder / name).is_file()), None)
    if picture is None:
        raise FileNotFoundError(
            f"There is no mask {path.with_suffix('') / name}, which {path} names. Unpack the PNG "
            "files of the panoptic annotations beside it."
        )
    return picture


def painted_panoptic(mask: PanopticMask, classes: ClassTable) -> tuple[np.ndarray, np.ndarray]:
    """(mask of classes, instances numbered from 1), both (height, width) int32.

    Raises: ValueError for an id that the JSON file does not list.
    """
    with Image.open(mask.picture) as picture:
        ids = np.asarray(picture.convert("RGB")).astype(np.int32) @ PLACES
    values, places = np.unique(ids, return_inverse=True)
    numbers = np.full(len(values), IGNORE_CLASS, np.int32)
    objects = np.zeros(len(values), np.int32)
    for place, value in enumerate(map(int, values)):
        if value in mask.labels:
            numbers[place] = class_index(classes, mask.labels[value])
            objects[place] = 0 if value in mask.crowds or numbers[place] == 0 else place + 1
        elif value:
            raise ValueError(f"{mask.picture} has the segment {value}, which is not listed")
    places = places.reshape(ids.shape)
    return numbers[places], objects[places]
