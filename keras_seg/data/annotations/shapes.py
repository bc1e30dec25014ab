"""Labelled shapes of annotation tools, painted as masks.

Pixel (x, y) covers [x, x + 1) x [y, y + 1), and coordinates count from the top left corner. COCO's
polygons are filled by pycocotools. The polygons of the other tools are filled by Pillow with their
outline, as LabelMe does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw

from keras_seg.names import IGNORE_CLASS

Points = Sequence[Sequence[float]]
"""(x, y) of each corner, in pixels."""
Size = tuple[int, int]
"""(height, width) in pixels."""
LARGEST_COORDINATE = 1e6
"""Pixels."""
DECIMALS = 6
"""Of a pixel, so that 100 / 3 percent of 24 pixels are 8."""


class Area(Protocol):
    """A part of an image."""

    def covered(self, size: Size) -> np.ndarray:
        """(height, width) bool: the pixels of the area in an image of this size."""
        ...


@dataclass(frozen=True)
class Polygon:
    """A polygon with holes, filled with its outline.

    Attributes:
        outline: three corners or more.
        holes: polygons that are cut out.
    """

    outline: Points
    holes: Sequence[Points] = ()

    def covered(self, size: Size) -> np.ndarray:
        canvas = Image.new("1", size[::-1])
        draw = ImageDraw.Draw(canvas)
        draw.polygon(_pairs(self.outline), fill=1, outline=1)
        for hole in self.holes:
            draw.polygon(_pairs(hole), fill=0, outline=0)
        return np.array(canvas)


@dataclass(frozen=True)
class CocoPolygons:
    """The parts of one object of COCO: [x0, y0, x1, y1, ...] each."""

    parts: Sequence[Sequence[float]]

    def covered(self, size: Size) -> np.ndarray:
        from pycocotools import mask as coco_mask

        parts = [list(map(float, part)) for part in self.parts]
        check_coordinates(number for part in parts for number in part)
        runs = coco_mask.frPyObjects(parts, *size)
        return coco_mask.decode(coco_mask.merge(runs)).astype(bool)


@dataclass(frozen=True)
class CocoRuns:
    """A mask in COCO's run-length encoding, compressed or not.

    Attributes:
        runs: {"size": [height, width], "counts": a list of run lengths, or text}.
    """

    runs: Mapping

    def covered(self, size: Size) -> np.ndarray:
        from pycocotools import mask as coco_mask

        runs = dict(self.runs)
        stated = tuple(runs["size"])
        if stated != size:
            raise ValueError(
                f"the run-length mask is {stated[1]}x{stated[0]} and the image {size[1]}x{size[0]} "
                "(width x height)"
            )
        if isinstance(runs["counts"], list):
            if sum(runs["counts"]) != size[0] * size[1]:
                raise ValueError(
                    f"the run lengths add up to {sum(runs['counts'])} pixels in place of "
                    f"{size[0] * size[1]}"
                )
            runs = coco_mask.frPyObjects(runs, *size)
        return coco_mask.decode(runs).astype(bool)


@dataclass(frozen=True)
class Ellipse:
    """An ellipse with its outline.

    Attributes:
        left, top, right, bottom: its bounding box in pixels, before it is rotated.
        degrees: clockwise rotation about its centre.
    """

    left: float
    top: float
    right: float
    bottom: float
    degrees: float = 0.0

    def covered(self, size: Size) -> np.ndarray:
        if self.degrees:
            centre = ((self.left + self.right) / 2, (self.top + self.bottom) / 2)
            radii = ((self.right - self.left) / 2, (self.bottom - self.top) / 2)
            angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
            corners = np.stack([np.cos(angles) * radii[0], np.sin(angles) * radii[1]], axis=1)
            return Polygon(rotated(corners + centre, centre, self.degrees)).covered(size)
        canvas = Image.new("1", size[::-1])
        box = (self.left, self.top, self.right, self.bottom)
        ImageDraw.Draw(canvas).ellipse(box, fill=1, outline=1)
        return np.array(canvas)


@dataclass(frozen=True)
class Rectangle:
    """A rectangle with its outline: corners (left, top) and (right, bottom), both inside.

    Attributes:
        left, top, right, bottom: in pixels, before it is rotated.
        degrees: clockwise rotation about its centre.
    """

    left: float
    top: float
    right: float
    bottom: float
    degrees: float = 0.0

    def covered(self, size: Size) -> np.ndarray:
        if self.degrees:
            corners = [(self.left, self.top), (self.right, self.top)]
            corners += [(self.right, self.bottom), (self.left, self.bottom)]
            centre = ((self.left + self.right) / 2, (self.top + self.bottom) / 2)
            turned = np.round(rotated(corners, centre, self.degrees), DECIMALS)
            return Polygon(turned).covered(size)
        canvas = Image.new("1", size[::-1])
        x, y = sorted((self.left, self.right)), sorted((self.top, self.bottom))
        ImageDraw.Draw(canvas).rectangle((x[0], y[0], x[1], y[1]), fill=1, outline=1)
        return np.array(canvas)


@dataclass(frozen=True)
class Bitmap:
    """A small mask at a place in the image; what reaches beyond the image is cut off.

    Attributes:
        pixels: (height, width) bool.
        left, top: position of its first pixel in the image.
    """

    pixels: np.ndarray
    left: int = 0
    top: int = 0

    def covered(self, size: Size) -> np.ndarray:
        canvas = np.zeros(size, bool)
        top, left = max(self.top, 0), max(self.left, 0)
        pixels = self.pixels[top - self.top :, left - self.left :]
        pixels = pixels[: max(size[0] - top, 0), : max(size[1] - left, 0)]
        canvas[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
        return canvas


@dataclass(frozen=True)
class Shape:
    """A labelled area.

    Attributes:
        class_index: the class that its pixels get; 255 for "unknown".
        area: its pixels.
        instance: whether it is one object; False for a crowd of objects.
        group: shapes of one class and one group are parts of one object; None for no group.
    """

    class_index: int
    area: Area
    instance: bool = True
    group: Hashable = None


@dataclass(frozen=True)
class Drawing:
    """The shapes of an image with their pixels, in the order in which they are painted.

    Attributes:
        shapes: (shape, (height, width) bool of its pixels).
        size: (height, width) of the image.
    """

    shapes: Sequence[tuple[Shape, np.ndarray]]
    size: Size

    def classes(self) -> tuple[np.ndarray, np.ndarray]:
        """(mask of classes, instances numbered from 1), both (height, width) int32."""
        mask, instances = np.zeros(self.size, np.int32), np.zeros(self.size, np.int32)
        groups: dict[Hashable, int] = {}
        for number, (shape, pixels) in enumerate(self.shapes, start=1):
            mask[pixels] = shape.class_index
            counts = shape.instance and shape.class_index not in (0, IGNORE_CLASS)
            if counts and shape.group is not None:
                number = groups.setdefault((shape.class_index, shape.group), number)
            instances[pixels] = number if counts else 0
        return mask, instances

    def labels(self, num_classes: int) -> np.ndarray:
        """(height, width, num_classes - 1) uint8: 1 where a class other than the background is.

        Shapes may overlap. A shape of background (class 0) clears what was painted before it.
        """
        mask = np.zeros((*self.size, num_classes - 1), np.uint8)
        for shape, pixels in self.shapes:
            if shape.class_index == IGNORE_CLASS:
                mask[pixels] = IGNORE_CLASS
            elif shape.class_index == 0:
                mask[pixels] = 0
            else:
                mask[pixels, shape.class_index - 1] = 1
        return mask

    def turned(self, turn: Callable[[np.ndarray], np.ndarray]) -> Drawing:
        """The drawing on an image that is turned so that height and width change places."""
        shapes = [(shape, turn(pixels)) for shape, pixels in self.shapes]
        return Drawing(shapes, self.size[::-1])


def paint(shapes: Sequence[Shape], size: Size, *, largest_first: bool) -> Drawing:
    """The shapes with their pixels, in the order in which they are painted.

    Args:
        largest_first: whether smaller shapes are painted over larger ones, for tools whose files
            have no order. Otherwise later shapes are painted over earlier ones.
    """
    painted = [(shape, shape.area.covered(size)) for shape in shapes]
    if largest_first:
        painted.sort(key=lambda pair: -int(pair[1].sum()))
    return Drawing(painted, size)


def rotated(points: Points, centre: tuple[float, float], degrees: float) -> np.ndarray:
    """(N, 2) points after a clockwise rotation (y points down) about a centre."""
    angle = math.radians(degrees)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    return (np.asarray(points, float) - centre) @ turn + centre


def _pairs(points: Points) -> list[tuple[float, float]]:
    pairs = [(float(x), float(y)) for x, y in points]
    check_coordinates(number for pair in pairs for number in pair)
    return pairs


def check_coordinates(numbers: Iterable[float]) -> None:
    """Refuses coordinates that no image has, with which filling takes no end."""
    far = next((number for number in numbers if not abs(number) <= LARGEST_COORDINATE), None)
    if far is not None:
        raise ValueError(f"a corner has the coordinate {far:g}")
