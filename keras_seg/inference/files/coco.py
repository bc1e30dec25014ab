"""Masks of many images as one COCO file."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from keras_seg.atomic_files import write_text
from keras_seg.card import ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.inference.files.inputs import Input
from keras_seg.inference.files.instance_files import read_objects
from keras_seg.inference.files.label_masks import mask_endings
from keras_seg.inference.files.polygons import Region, object_regions, regions
from keras_seg.inference.files.read_back import read_prediction
from keras_seg.inference.files.resume import PredictionLog
from keras_seg.inference.instance_map import BACKGROUND, Instances

COCO_NAME = "coco.json"


class CocoBuilder:
    """A COCO data set, built image by image; category numbers are class indices.

    Regions with holes are run-length encoded, since COCO's polygons have no holes.
    """

    def __init__(self, classes: ClassTable) -> None:
        self._classes = classes
        self._images: list[dict] = []
        self._annotations: list[dict] = []

    def add(self, name: str, mask: np.ndarray, objects: Instances | None = None) -> None:
        """Adds an image.

        Args:
            name: its file.
            mask: its mask, whose regions become annotations.
            objects: the objects that become annotations instead, with their scores.
        """
        size = mask.shape[:2]
        record = {"id": len(self._images) + 1, "file_name": name}
        self._images.append(record | {"width": size[1], "height": size[0]})
        if objects is None:
            for region in regions(mask, self._classes):
                self._annotate(region, size)
            return
        for each, region in object_regions(objects):
            self._annotate(region, size, score=each.score)

    def _annotate(self, region: Region, size: tuple[int, int], score: float | None = None) -> None:
        if len(region.pieces) == len(region.rings) == 1:
            shape = [region.rings[0][:-1].ravel().tolist()]
        else:
            shape = {"counts": _run_lengths(region, size), "size": list(size)}
        annotation = {
            "id": len(self._annotations) + 1,
            "image_id": len(self._images),
            "category_id": region.label,
            "segmentation": shape,
            "area": region.area,
            "bbox": list(region.box),
            "iscrowd": 0,
        }
        self._annotations.append(annotation | ({} if score is None else {"score": score}))

    def to_dict(self) -> dict:
        """The data set as plain types for JSON."""
        categories = [
            {"id": number, "name": name}
            for number, name in enumerate(self._classes.names)
            if name.lower() != BACKGROUND
        ]
        return {
            "images": self._images,
            "annotations": self._annotations,
            "categories": categories,
        }


def write_coco(
    sources: list[Input], log: PredictionLog, card: ModelCard, *, instances: bool = False
) -> None:
    """Writes coco.json for all inputs whose masks are in the folder, predicted now or before.

    Args:
        instances: whether the objects become annotations, and not the regions.
    """
    coco = CocoBuilder(card.classes)
    first = mask_endings(card.classes, card.multi_label)[0]
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # the masks are our own
    try:
        for source in sources:
            record = log.record_of(source)
            for name in record["files"] if record else ():
                if name.endswith(first):
                    base = log.folder / name.removesuffix(first)
                    objects = read_objects(base) if instances else None
                    image = str(source.path) if source.kind == "image" else name
                    coco.add(image, read_prediction(base, card), objects)
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    write_text(log.folder / COCO_NAME, json.dumps(coco.to_dict()))


def _run_lengths(region: Region, shape: tuple[int, int]) -> list[int]:
    """COCO's uncompressed counts: column by column, zeros first."""
    left, top, width, height = region.box
    full = np.zeros(shape, bool)
    full[top : top + height, left : left + width] = region.mask
    flat = full.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    edges = np.concatenate([[0] if flat[0] else [], [0], changes, [flat.size]]).astype(int)
    return np.diff(edges).tolist()
