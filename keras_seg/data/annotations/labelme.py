"""LabelMe (Wada, github.com/wkentaro/labelme): one JSON file for each image."""

from __future__ import annotations

import base64
import io
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from keras_seg.data.annotations.annotated_image import AnnotatedImage, Parts, plain, split_in
from keras_seg.data.annotations.class_labels import class_index, class_table
from keras_seg.data.annotations.export_folder import (
    few_of_each_folder,
    layout_of,
    read_json,
    read_lines,
    tell,
)
from keras_seg.data.annotations.image_files import ImageFiles, image_size
from keras_seg.data.annotations.shapes import (
    Area,
    Bitmap,
    Drawing,
    Ellipse,
    Polygon,
    Rectangle,
    Shape,
    paint,
)
from keras_seg.data.classes import ClassTable
from keras_seg.data.layouts.split import LayoutSplit
from keras_seg.data.reading.images import picture_pixels, read_image_and_known
from keras_seg.data.reading.ranges import ValueRange

TOOL = "LabelMe"
AREAS = ("polygon", "rectangle", "oriented_rectangle", "rotation", "circle", "mask")
WITHOUT_AREA = ("line", "linestrip", "point", "points")
LABEL_FILE = "labels.txt"


def recognised(root: Path) -> bool:
    """Whether a folder holds a file of LabelMe."""
    return any(_looks_like_labelme(path) for path in few_of_each_folder(_files(root)))


def open_split(root: Path, split: str, *, strict: bool = True) -> LayoutSplit:
    """`X.json` beside `X.jpg`, also in `train/` and `val/`; perhaps `labels.txt`."""
    parts: Parts = defaultdict(list)
    labels: set[str] = set()
    files = ImageFiles(root)
    without_area = []
    for path in _files(root):
        content = read_json(path)
        if not _is_labelme(content):
            continue
        shapes = _checked_shapes(content, path)
        labels |= {plain(shape["label"]) for shape in shapes if _has_area(shape)}
        without_area += [path.name for shape in shapes if not _has_area(shape)]
        part = next(filter(None, map(split_in, path.relative_to(root).parts[:-1])), "")
        parts[part].append(_item(content, path, files, split))
    if not parts:
        raise FileNotFoundError(
            f'{root} has no JSON file with "shapes", as LabelMe writes one for each image. Pass '
            "the folder with these files."
        )
    tell({"lines and points cover no area and are left out": without_area}, TOOL)
    classes = class_table(root, [*_listed(root, labels), *sorted(labels)])

    options = {"tool": TOOL, "strict": strict}

    def read_truth(item: AnnotatedImage, image: Path) -> Drawing:
        return _painted(read_json(item.source), classes, image)

    return layout_of(root, split, parts, classes, read_truth, read_pixels=_read_pixels, **options)


def _files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*.json") if not path.name.startswith("."))


def _looks_like_labelme(path: Path) -> bool:
    try:
        return _is_labelme(read_json(path))
    except (ValueError, OSError):
        return False


def _is_labelme(content: object) -> bool:
    return (
        isinstance(content, dict)
        and isinstance(content.get("shapes"), list)
        and bool({"imagePath", "imageData", "imageHeight"} & content.keys())
    )


def _checked_shapes(content: Mapping, path: Path) -> list[Mapping]:
    for number, shape in enumerate(content["shapes"]):
        if not isinstance(shape, dict) or not {"label", "points"} <= shape.keys():
            raise ValueError(f"{path}: shape {number} has no label and points. Export it again.")
        kind = _kind(shape)
        if kind not in AREAS + WITHOUT_AREA:
            raise ValueError(
                f"{path}: shape {number} is of the kind {kind!r}, which is not read. Known: "
                f"{', '.join(AREAS + WITHOUT_AREA)}. Draw it as a polygon."
            )
    return content["shapes"]


def _kind(shape: Mapping) -> str:
    return shape.get("shape_type") or "polygon"


def _has_area(shape: Mapping) -> bool:
    return _kind(shape) in AREAS


def _image_name(content: Mapping, path: Path) -> str:
    name = content.get("imagePath") or ""
    return str(name) if plain(name) else path.stem


def _item(content: Mapping, path: Path, files: ImageFiles, split: str) -> AnnotatedImage:
    """With the image of the JSON file's own name, if the one that it names is not there.

    Without an image file, the one that is embedded in the JSON file is read.
    """
    item = AnnotatedImage(_image_name(content, path), path, None)
    if files.find(item, split) is not None:
        return item
    renamed = AnnotatedImage(path.stem, path, None)
    if files.find(renamed, split) is not None:
        return renamed
    return replace(item, image=path) if content.get("imageData") else item


def _read_pixels(
    path: Path,
    channels: int = 3,
    *,
    value_range: ValueRange | None = None,
    nodata: float | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Reads an image file, or the image that is embedded in a JSON file."""
    if path.suffix.lower() != ".json":
        return read_image_and_known(path, channels, value_range=value_range, nodata=nodata)
    try:
        data = base64.b64decode(read_json(path)["imageData"])
        with Image.open(io.BytesIO(data)) as picture:
            return picture_pixels(picture, channels, value_range, path), None
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: the embedded image (imageData) is damaged: {error}.") from error


def _listed(root: Path, labels: set[str]) -> list[str]:
    """The labels of `labels.txt` in its order.

    Raises: ValueError for a label of the files that it does not list.
    """
    path = root / LABEL_FILE
    if not path.is_file():
        return []
    listed = [plain(line) for line in read_lines(path) if plain(line)]
    missing = sorted(labels - set(listed))
    if missing:
        raise ValueError(f"{path} does not list the labels {missing[:3]}. Add them.")
    return listed


def _painted(content: Mapping, classes: ClassTable, image: Path) -> Drawing:
    stated = content.get("imageHeight"), content.get("imageWidth")
    size = tuple(map(int, stated)) if all(stated) else image_size(image)
    shapes = [
        Shape(class_index(classes, shape["label"]), _area(shape), group=shape.get("group_id"))
        for shape in _checked_shapes(content, image)
        if _has_area(shape)
    ]
    return paint(shapes, size, largest_first=False)


def _area(shape: Mapping) -> Area:
    points, kind = shape["points"], _kind(shape)
    if kind in ("polygon", "oriented_rectangle", "rotation") or (
        kind == "rectangle" and len(points) == 4
    ):
        if len(points) < 3:
            raise ValueError(f"a polygon has {len(points)} corners")
        return Polygon(points)
    if len(points) != 2:
        raise ValueError(f"a {kind} has {len(points)} points in place of 2")
    (x0, y0), (x1, y1) = points
    if kind == "rectangle":
        return Rectangle(x0, y0, x1, y1)
    if kind == "circle":
        radius = math.hypot(x1 - x0, y1 - y0)
        return Ellipse(x0 - radius, y0 - radius, x0 + radius, y0 + radius)
    if not isinstance(shape.get("mask"), str):
        raise ValueError("a mask has no pixels (mask)")
    packed = "".join(shape["mask"].split())
    with Image.open(io.BytesIO(base64.b64decode(packed, validate=True))) as picture:
        return Bitmap(np.array(picture.convert("L")) > 0, int(x0), int(y0))
