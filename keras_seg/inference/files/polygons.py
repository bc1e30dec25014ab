"""The regions of a mask, or its objects, as polygons and as GeoJSON."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from contourpy import FillType, contour_generator
from scipy import ndimage

from keras_seg.data.classes import ClassTable
from keras_seg.data.reading.georeference import GeoReference
from keras_seg.inference.instance_map import BACKGROUND, Instance, Instances
from keras_seg.names import IGNORE_CLASS

Piece = list[np.ndarray]
"""Closed outlines (n, 2) of (x, y): the outer one, then those of the holes."""


class Region(NamedTuple):
    """Connected pixels of one class, or the pixels of one object.

    Attributes:
        label: the class.
        area: number of pixels.
        box: (left, top, width, height) in pixels.
        mask: (height, width) bool of the box.
        pieces: the outlines; more than one piece only for objects. The image extends from 0 to its
            width; pixel centres are at halves.
    """

    label: int
    area: int
    box: tuple[int, int, int, int]
    mask: np.ndarray
    pieces: list[Piece]

    @property
    def rings(self) -> Piece:
        """The outlines of the first piece."""
        return self.pieces[0]


def regions(mask: np.ndarray, classes: ClassTable) -> Iterator[Region]:
    """The regions of a mask, class by class, without background and unknown pixels.

    Pixels are connected by their sides. Outlines run halfway between pixel centres: filled at pixel
    centres they give the mask again. Corners are cut by half a pixel.

    Shapes: (H, W) of classes, or (H, W, labels) of 0 and 1; 255 is unknown.
    """
    multi_label = mask.ndim == 3
    for label in range(mask.shape[2]) if multi_label else np.unique(mask).tolist():
        if label == IGNORE_CLASS or classes.names[label].lower() == BACKGROUND:
            continue
        numbers, _ = ndimage.label(mask[..., label] == 1 if multi_label else mask == label)
        for number, (rows, columns) in enumerate(ndimage.find_objects(numbers), start=1):
            inside = numbers[rows, columns] == number
            box = (columns.start, rows.start, inside.shape[1], inside.shape[0])
            yield Region(label, int(inside.sum()), box, inside, _pieces(inside, box))


def object_regions(objects: Instances) -> Iterator[tuple[Instance, Region]]:
    """Each object with its region, which may have several pieces."""
    for each in objects.objects:
        left, top, width, height = each.box
        inside = objects.labels[top : top + height, left : left + width] == each.number
        yield each, Region(each.label, each.area, each.box, inside, _pieces(inside, each.box))


def geojson(
    mask: np.ndarray,
    classes: ClassTable,
    *,
    place: GeoReference | None = None,
    objects: Instances | None = None,
) -> dict:
    """A FeatureCollection with one feature per region of a mask, or per object.

    Args:
        mask: (H, W) of classes, or (H, W, labels) of 0 and 1.
        classes: names and colours.
        place: the place of the image. If it has a transform, points are map coordinates and "crs"
            names their system; otherwise points are pixels (x to the right, y down).
        objects: the objects of the mask; None for its regions.
    """
    if place is not None and place.transform is None:
        place = None
    if objects is None:
        features = [_feature(region, classes, place, {}) for region in regions(mask, classes)]
    else:
        features = [
            _feature(region, classes, place, {"id": each.number, "score": each.score})
            for each, region in object_regions(objects)
        ]
    collection: dict = {"type": "FeatureCollection", "features": features}
    if place is not None and place.crs is not None:
        collection["crs"] = {"type": "name", "properties": {"name": place.crs}}
    return collection


def _feature(
    region: Region, classes: ClassTable, place: GeoReference | None, further: dict
) -> dict:
    properties = {
        "class": region.label,
        "name": classes.names[region.label],
        "color": list(classes.colors[region.label]),
        "area": region.area,
    }
    pieces = [
        [ring.tolist() if place is None else _on_map(ring, place, i == 0) for i, ring in each]
        for each in map(enumerate, region.pieces)
    ]
    several = len(pieces) > 1
    geometry = {
        "type": "MultiPolygon" if several else "Polygon",
        "coordinates": pieces if several else pieces[0],
    }
    return {"type": "Feature", "properties": properties | further, "geometry": geometry}


def _on_map(ring: np.ndarray, place: GeoReference, outer: bool) -> list[list[float]]:
    """A ring in map coordinates: counterclockwise for an outline, clockwise for a hole."""
    points = place.to_map(ring)
    x, y = (points - points[0]).T
    counterclockwise = np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) > 0
    return (points if counterclockwise == outer else points[::-1]).tolist()


def _pieces(inside: np.ndarray, box: tuple[int, int, int, int]) -> list[Piece]:
    left, top = box[:2]
    heights = np.pad(inside, 1).astype(np.float32)
    generator = contour_generator(z=heights, fill_type=FillType.OuterOffset)
    pieces = []
    for points, offsets in zip(*generator.filled(0.5, 2.0), strict=True):
        # one pixel of padding, and pixel centres at halves
        placed = points + np.array([left - 0.5, top - 0.5])
        pieces.append([placed[a:b] for a, b in pairwise(offsets)])
    return pieces
