"""The regions of a mask as polygons, and as GeoJSON."""

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
    """Connected pixels of one class; pixels are connected by their sides.

    Attributes:
        label: the class.
        area: number of pixels.
        box: (left, top, width, height) in pixels.
        mask: (height, width) bool of the box.
        rings: closed outlines (n, 2) of (x, y), the outer one first, then its holes. The image
            extends from 0 to its width; pixel centres are at halves.
    """

    label: int
    area: int
    box: tuple[int, int, int, int]
    mask: np.ndarray
    rings: list[np.ndarray]


def regions(mask: np.ndarray, classes: ClassTable) -> Iterator[Region]:
    """The regions of a mask, class by class, without background and unknown pixels.

    Outlines run halfway between pixel centres: filled at pixel centres they give the mask again.
    Corners are cut by half a pixel.

    Shapes: (H, W) of classes, or (H, W, labels) of 0 and 1.
    """
    multi_label = mask.ndim == 3
    for label in range(mask.shape[2]) if multi_label else np.unique(mask).tolist():
        if label == IGNORE_CLASS or classes.names[label].lower() == BACKGROUND:
            continue
        numbers, _ = ndimage.label(mask[..., label] == 1 if multi_label else mask == label)
        for number, (rows, columns) in enumerate(ndimage.find_objects(numbers), start=1):
            inside = numbers[rows, columns] == number
            box = (columns.start, rows.start, inside.shape[1], inside.shape[0])
            yield Region(label, int(inside.sum()), box, inside, _rings(inside, box))


def geojson(mask: np.ndarray, classes: ClassTable) -> dict:
    """A FeatureCollection with one polygon per region, in pixels (x to the right, y down)."""
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


def _rings(inside: np.ndarray, box: tuple[int, int, int, int]) -> list[np.ndarray]:
    left, top = box[:2]
    heights = np.pad(inside, 1).astype(np.float32)
    generator = contour_generator(z=heights, fill_type=FillType.OuterOffset)
    points, offsets = generator.filled(0.5, 2.0)
    # one pixel of padding, and pixel centres at halves
    points = points[0] + np.array([left - 0.5, top - 0.5])
    return [points[a:b] for a, b in zip(offsets[0], offsets[0][1:], strict=False)]
