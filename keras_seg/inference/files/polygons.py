"""Masks as polygons: GeoJSON of one image, COCO of many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from contourpy import FillType, contour_generator
from scipy import ndimage

from keras_seg.data.classes import ClassTable
from keras_seg.names import IGNORE_CLASS

BACKGROUND = "background"
"""The class of this name has no polygons."""


class Region(NamedTuple):
    """Pixels of one class that touch by their sides.

    label: the class. area: in pixels. box: (left, top, width, height). mask: (height, width) bool
    of the box. rings: closed outlines (n, 2) of (x, y), the outer one first, then its holes; the
    image reaches from 0 to its width, pixel centres lie at halves.
    """

    label: int
    area: int
    box: tuple[int, int, int, int]
    mask: np.ndarray
    rings: list[np.ndarray]


def regions(mask: np.ndarray, classes: ClassTable) -> Iterator[Region]:
    """The regions of a mask, class by class, without background and unknown.

    Outlines run halfway between pixel centres, so that filling them again at pixel centres gives
    the mask; corners are cut by half a pixel.

    Shapes: (H, W) of classes, or (H, W, labels) of 0 and 1.
    """
    several = mask.ndim == 3
    for label in range(mask.shape[2]) if several else np.unique(mask).tolist():
        if label == IGNORE_CLASS or classes.names[label].lower() == BACKGROUND:
            continue
        numbers, _ = ndimage.label(mask[..., label] == 1 if several else mask == label)
        for number, (rows, columns) in enumerate(ndimage.find_objects(numbers), start=1):
            inside = numbers[rows, columns] == number
            box = (columns.start, rows.start, inside.shape[1], inside.shape[0])
            yield Region(label, int(inside.sum()), box, inside, _rings(inside, box))


def geojson(mask: np.ndarray, classes: ClassTable) -> dict:
    """A FeatureCollection in pixels of the image (x to the right, y down), one polygon a region."""
    features = []
    for region in regions(mask, classes):
        properties = {
            "class": region.label,
            "name": classes.names[region.label],
            "color": list(classes.colors[region.label]),
            "area": region.area,
        }
        geometry = {"type": "Polygon", "coordinates": [ring.tolist() for ring in region.rings]}
        features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    return {"type": "FeatureCollection", "features": features}


class CocoBuilder:
    """A COCO data set, image by image; its categories have the numbers of the classes.

    Regions with holes are run-length encoded, as COCO's polygons have none.
    """

    def __init__(self, classes: ClassTable):
        self._classes, self._images, self._annotations = classes, [], []

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
        """The data set as plain values for JSON."""
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


def _rings(inside: np.ndarray, box: tuple[int, int, int, int]) -> list[np.ndarray]:
    left, top = box[:2]
    heights = np.pad(inside, 1).astype(np.float32)
    generator = contour_generator(z=heights, fill_type=FillType.OuterOffset)
    points, offsets = generator.filled(0.5, 2.0)
    # one pixel of padding, and pixel centres at halves
    points = points[0] + np.array([left - 0.5, top - 0.5])
    return [points[a:b] for a, b in zip(offsets[0], offsets[0][1:], strict=False)]


def _run_lengths(region: Region, shape: tuple[int, int]) -> list[int]:
    """COCO's uncompressed counts: column by column, zeros first."""
    left, top, width, height = region.box
    full = np.zeros(shape, bool)
    full[top : top + height, left : left + width] = region.mask
    flat = full.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat)) + 1
    edges = np.concatenate([[0] if flat[0] else [], [0], changes, [flat.size]]).astype(int)
    return np.diff(edges).tolist()
