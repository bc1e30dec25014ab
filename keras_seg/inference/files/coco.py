"""Masks of many images as one COCO file."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from keras_seg.atomic_files import write_text
from keras_seg.card import ModelCard
from keras_seg.data.classes import ClassTable
from keras_seg.inference.files.inputs import Input
from keras_seg.inference.files.label_masks import mask_endings
from keras_seg.inference.files.polygons import BACKGROUND, Region, regions
from keras_seg.inference.files.read_back import read_prediction
from keras_seg.inference.files.resume import PredictionLog

COCO_NAME = "coco.json"


class CocoBuilder:
    """A COCO data set, built image by image; category numbers are class indices.

    Regions with holes are run-length encoded, since COCO's polygons have no holes.
    """

    def __init__(self, classes: ClassTable) -> None:
        self._classes = classes
        self._images: list[dict] = []
        self._annotations: list[dict] = []

    def add(self, name: str, mask: np.ndarray) -> None:
        """Adds the regions of an image; name: its file."""
        image = len(self._images) + 1
        height, width = size = mask.shape[:2]
        self._images.append({"id": image, "file_name": name, "width": width, "height": height})
        for region in regions(mask, self._classes):
            if len(region.rings) == 1:
                shape = [region.rings[0][:-1].ravel().tolist()]
            else:
                shape = {"counts": _run_lengths(region, size), "size": [height, width]}
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image,
                    "category_id": region.label,
                    "segmentation": shape,
                    "area": region.area,
                    "bbox": list(region.box),
                    "iscrowd": 0,
                }
            )

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


def write_coco(sources: list[Input], log: PredictionLog, card: ModelCard) -> None:
    """Writes coco.json for all inputs whose masks are in the folder, predicted now or before."""
    coco = CocoBuilder(card.classes)
    first = mask_endings(card.classes, card.multi_label)[0]
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # the masks are our own
    try:
        for source in sources:
            record = log.record_of(source)
            for name in record["files"] if record else ():
                if name.endswith(first):
                    mask = read_prediction(log.folder / name.removesuffix(first), card)
                    coco.add(str(source.path) if source.kind == "image" else name, mask)
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
