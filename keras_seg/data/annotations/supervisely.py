"""Supervisely: `meta.json`, and `img/` with `ann/` in each data set of a project."""

from __future__ import annotations

import base64
import io
import zlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from keras_seg.data.annotations.annotated_image import AnnotatedImage, Parts, plain, split_in
from keras_seg.data.annotations.class_labels import class_index, class_table
from keras_seg.data.annotations.export_folder import layout_of, read_json, tell
from keras_seg.data.annotations.shapes import (
    Area,
    Bitmap,
    Drawing,
    Polygon,
    Rectangle,
    Shape,
    paint,
)
from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.pictures import IMAGE_SUFFIXES
from keras_seg.data.layouts.split import LayoutSplit

TOOL = "Supervisely"
META = "meta.json"
AREAS = ("polygon", "bitmap", "rectangle")
WITHOUT_AREA = ("point", "line", "polyline", "graph", "cuboid")


def recognised(root: Path) -> bool:
    """Whether a folder is a project of Supervisely."""
    return (root / META).is_file() and bool(_annotation_files(root))


def open_split(root: Path, split: str, *, strict: bool = True) -> LayoutSplit:
    """`DATASET/img/X.jpg` with `DATASET/ann/X.jpg.json`; split by data set or tag."""
    files = _annotation_files(root)
    if not (root / META).is_file() or not files:
        raise FileNotFoundError(
            f"{root} has not the layout of Supervisely: {META}, and ann/ beside img/ in each data "
            "set. Pass the folder of the project."
        )
    labels = _labels(root / META)
    parts: Parts = defaultdict(list)
    without_area = []
    for path in files:
        content = read_json(path)
        if not isinstance(content, dict):
            raise ValueError(
                f"{path} is not an annotation of Supervisely. Export the project again."
            )
        kinds = [_kind(thing, path) for thing in content.get("objects", ())]
        without_area += [path.name for kind in kinds if kind in WITHOUT_AREA]
        image = _image_of(path)
        parts[_split(content, path.relative_to(root))].append(
            AnnotatedImage(image.name, path, None, image)
        )
    tell({"lines and points cover no area and are left out": without_area}, TOOL)
    background = any(label.lower() == "background" for label in labels)
    classes = class_table(root, labels, labels if background and all(labels.values()) else None)

    def read_truth(item: AnnotatedImage, image: Path) -> Drawing:
        return _painted(read_json(item.source), classes)

    return layout_of(root, split, parts, classes, read_truth, tool=TOOL, strict=strict)


def _annotation_files(root: Path) -> list[Path]:
    return sorted([*root.glob("ann/*.json"), *root.glob("**/*/ann/*.json")])


def _image_of(path: Path) -> Path:
    """The image of `X.jpg.json`, or of `X.json` as older projects name it."""
    name = path.name.removesuffix(".json")
    folder = path.parent.parent / "img"
    same_stem = (folder / f"{name}{suffix}" for suffix in IMAGE_SUFFIXES)
    return next((image for image in same_stem if image.is_file()), folder / name)


def _labels(path: Path) -> dict[str, tuple[int, ...]]:
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("classes"), list):
        raise ValueError(f'{path} has no list "classes". Export the project again.')
    return {plain(entry["title"]): _color(entry.get("color")) for entry in content["classes"]}


def _color(text: str | None) -> tuple[int, ...]:
    digits = (text or "").lstrip("#")
    return tuple(bytes.fromhex(digits)) if len(digits) == 6 else ()


def _split(content: Mapping, path: Path) -> str:
    tags = [str(tag.get("name", "")) for tag in content.get("tags", ())]
    named = [*map(split_in, path.parts[:-2]), *map(split_in, tags)]
    return next(filter(None, named), "")


def _kind(thing: Mapping, path: Path) -> str:
    kind = thing.get("geometryType") or thing.get("shape") or "polygon"
    if kind not in AREAS + WITHOUT_AREA:
        raise ValueError(
            f"{path} has an object of the kind {kind!r}, which is not read. Known: "
            f"{', '.join(AREAS + WITHOUT_AREA)}"
        )
    return kind


def _painted(content: Mapping, classes: ClassTable) -> Drawing:
    size = int(content["size"]["height"]), int(content["size"]["width"])
    shapes = []
    for thing in content.get("objects", ()):
        kind = thing.get("geometryType") or "polygon"
        if kind in AREAS:
            shapes.append(Shape(class_index(classes, thing["classTitle"]), _area(kind, thing)))
    return paint(shapes, size, largest_first=False)


def _area(kind: str, thing: Mapping) -> Area:
    if kind == "bitmap":
        left, top = thing["bitmap"]["origin"]
        packed = zlib.decompress(base64.b64decode(thing["bitmap"]["data"]))
        with Image.open(io.BytesIO(packed)) as picture:
            pixels = np.array(picture.convert("RGBA"))
            opaque = picture.mode in ("RGBA", "LA", "P") and (pixels[..., 3] < 255).any()
        drawn = pixels[..., 3] > 0 if opaque else pixels[..., :3].any(axis=-1)
        return Bitmap(drawn, int(left), int(top))
    outline = thing["points"]["exterior"]
    if kind == "rectangle":
        (x0, y0), (x1, y1) = outline
        return Rectangle(x0, y0, x1, y1)
    if len(outline) < 3:
        raise ValueError(f"a polygon has {len(outline)} corners")
    return Polygon(outline, thing["points"].get("interior") or ())
