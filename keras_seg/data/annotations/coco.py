"""COCO (Lin et al., arXiv:1405.0312), as CVAT, Roboflow, Label Studio and others export it.

One JSON file for each split lists images, categories and objects. Outlines are polygons or
run-length masks. A crowd region gets the class of its objects.
"""

from __future__ import annotations

import codecs
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from keras_seg.data.annotations.annotated_image import AnnotatedImage, Parts, plain, split_in
from keras_seg.data.annotations.class_labels import class_index, class_table
from keras_seg.data.annotations.export_folder import (
    Truth,
    few_of_each_folder,
    layout_of,
    read_json,
    tell,
)
from keras_seg.data.annotations.image_files import image_size
from keras_seg.data.annotations.panoptic import (
    PanopticMask,
    is_panoptic,
    painted_panoptic,
    panoptic_images,
)
from keras_seg.data.annotations.shapes import CocoPolygons, CocoRuns, Drawing, Shape, paint
from keras_seg.data.classes import ClassTable
from keras_seg.data.layouts.split import LayoutSplit

TOOL = "COCO"
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
KEYS = ("images", "annotations", "categories")
PATTERNS = ("*.json", "annotations/*.json", "*/*.json", "*/annotations/*.json")
NO_OUTLINE = (None, "", [], [[]], {})
FEWEST_NUMBERS = 6
"""Three corners."""


@dataclass(frozen=True)
class _Objects:
    size: tuple[int, int] | None
    annotations: list[Mapping]
    categories: dict[int | str, str]


def recognised(root: Path) -> bool:
    """Whether a folder holds a COCO file."""
    return any(_looks_like_coco(path) for path in few_of_each_folder(_candidates(root)))


def open_split(root: Path, split: str, *, strict: bool = True) -> LayoutSplit:
    """`annotations/instances_SPLIT.json`, `SPLIT/_annotations.coco.json` or `result.json`."""
    files = _files_by_split(root)
    if not files:
        raise FileNotFoundError(
            f"{root} has no JSON file with images, annotations and categories, which a COCO export "
            "has. Pass the folder that the export unpacks to."
        )
    parts: Parts = defaultdict(list)
    labels: dict[int | str, str] = {}
    for part, path in files:
        content = read_json(path)
        if not _is_coco(content):
            continue
        categories = _categories(content, path)
        _check_same(labels, categories, path)
        labels |= categories
        if is_panoptic(content):
            parts[part] += panoptic_images(content, categories, path)
        else:
            parts[part] += _images(content, categories, path)
    ordered = [labels[number] for number in _in_order(labels)]
    classes = class_table(root, ordered)

    def read_truth(item: AnnotatedImage, image: Path) -> Truth:
        if isinstance(item.content, PanopticMask):
            return painted_panoptic(item.content, classes)
        return _painted(item.content, classes, image)

    _tell_of_images(parts)
    return layout_of(root, split, parts, classes, read_truth, tool=TOOL, strict=strict)


def _candidates(root: Path) -> list[Path]:
    return sorted({path for pattern in PATTERNS for path in root.glob(pattern)})


def _looks_like_coco(path: Path) -> bool:
    """Whether a file has the lists of a COCO file; large files are not parsed for that."""
    try:
        text = path.read_bytes()
    except OSError:
        return False
    if text[:2] in UTF16:
        text = text.decode("utf-16", "replace").encode()
    return all(re.search(rb'"%s"\s*:\s*\[' % key.encode(), text) for key in KEYS)


def _is_coco(content: object) -> bool:
    return isinstance(content, dict) and all(isinstance(content.get(k), list) for k in KEYS)


def _files_by_split(root: Path) -> list[tuple[str, Path]]:
    """(split, file) of each COCO file; of several for one split those named instances_."""
    by_split = defaultdict(list)
    for path in _candidates(root):
        folders = path.relative_to(root).parts[:-1]
        split = split_in(path.stem) or next(filter(None, map(split_in, folders)), "")
        by_split[split].append(path)
    chosen = []
    for split, paths in by_split.items():
        named = [path for path in paths if path.name.startswith("instances_")]
        chosen += [(split, path) for path in named or paths if _looks_like_coco(path)]
    return chosen


def _key(value: object) -> int | str:
    """An id, with numbers that are written as text or with a fraction of 0 as numbers."""
    if isinstance(value, int | float) and value == int(value):
        return int(value)
    if isinstance(value, str):
        return int(value) if value.isdecimal() else value
    raise ValueError(f"an id must be a number or a text. Received: {value!r}")


def _in_order(numbers: Iterable[int | str]) -> list[int | str]:
    return sorted(numbers, key=lambda number: (isinstance(number, str), number))


def _categories(content: Mapping, path: Path) -> dict[int | str, str]:
    """Category id → label, without the heading that Roboflow lists as category 0."""
    try:
        categories = {_key(c["id"]): plain(c["name"]) for c in content["categories"]}
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{path} has a category without id and name: {error!r}.") from error
    if len(categories) < len(content["categories"]):
        raise ValueError(f"{path} has two categories of one id. Export it again.")
    used = {str(a.get("category_id")) for a in content["annotations"] if isinstance(a, dict)}
    headings = {plain(c.get("supercategory")) for c in content["categories"]}
    return {
        number: label
        for number, label in categories.items()
        if str(number) in used or number != 0 or len(categories) == 1 or label not in headings
    }


def _check_same(labels: Mapping[int | str, str], more: Mapping[int | str, str], path: Path) -> None:
    differing = [n for n in labels.keys() & more.keys() if labels[n] != more[n]]
    if differing:
        number = differing[0]
        raise ValueError(
            f"{path} has the category {number} {more[number]!r}, and another file of the export "
            f"has {labels[number]!r}. Export all splits at once."
        )


def _images(
    content: Mapping, categories: Mapping[int | str, str], path: Path
) -> list[AnnotatedImage]:
    try:
        return _read_images(content, categories, path)
    except (TypeError, ValueError) as error:
        told = str(error)
        raise ValueError(told if str(path) in told else f"{path}: {told}.") from error


def _read_images(
    content: Mapping, categories: Mapping[int | str, str], path: Path
) -> list[AnnotatedImage]:
    of_image = defaultdict(list)
    for number, annotation in enumerate(content["annotations"]):
        if not isinstance(annotation, dict) or "image_id" not in annotation:
            raise ValueError(f"{path}: annotation {number} names no image. Received: {annotation}")
        category = annotation.get("category_id")
        if category is None or _key(category) not in categories:
            raise ValueError(
                f"{path}: annotation {annotation.get('id', number)} has the category "
                f"{category!r}, which is not listed. Known: {_in_order(categories)}"
            )
        of_image[_key(annotation["image_id"])].append(annotation)
    images, ids = [], set()
    for image in content["images"]:
        if not isinstance(image, dict) or not {"id", "file_name"} <= image.keys():
            raise ValueError(f"{path} has an image without id and file_name. Received: {image}")
        number = _key(image["id"])
        if number in ids:
            raise ValueError(f"{path} lists the image {image['id']!r} twice. Export it again.")
        ids.add(number)
        height, width = image.get("height"), image.get("width")
        size = (int(height), int(width)) if height and width else None
        objects = _Objects(size, of_image.pop(number, []), dict(categories))
        images.append(AnnotatedImage(str(image["file_name"]), path, objects))
    if of_image:
        raise ValueError(
            f"{path} has {sum(map(len, of_image.values()))} annotations of images that it does not "
            f"list, for example image {next(iter(of_image))!r}. Export it again."
        )
    _check_outlines(images, path)
    return images


def _check_outlines(images: list[AnnotatedImage], path: Path) -> None:
    """Refuses boxes: they show no outline, and their pixels would become background."""
    objects = [(item, a) for item in images for a in item.content.annotations]
    boxes = [item.file_name for item, a in objects if a.get("segmentation") in NO_OUTLINE]
    if boxes:
        raise ValueError(
            f"{path}: {len(boxes)} of the {len(objects)} annotations have no outline "
            f"(segmentation), for example in {boxes[0]}. Boxes show no outlines. Draw polygons or "
            "masks in the labelling tool, or delete these annotations."
        )


def _tell_of_images(parts: Parts) -> None:
    items = [item for images in parts.values() for item in images]
    items = [item for item in items if isinstance(item.content, _Objects)]
    tell(
        {
            "images have no annotation and are background throughout": [
                item.file_name for item in items if not item.content.annotations
            ],
            "polygons have fewer than three corners and are left out": [
                item.file_name
                for item in items
                for annotation in item.content.annotations
                if _degenerate(annotation["segmentation"])
            ],
        },
        TOOL,
    )


def _degenerate(segmentation: object) -> bool:
    return isinstance(segmentation, list) and any(
        isinstance(part, list) and len(part) < FEWEST_NUMBERS for part in _outlines(segmentation)
    )


def _outlines(segmentation: list) -> list:
    """The polygons of a segmentation, each [x0, y0, x1, y1, ...].

    Some tools write one polygon without the outer list, or corners as [x, y].
    """
    if not isinstance(segmentation[0], list | dict):
        return [segmentation]
    if isinstance(segmentation[0], list) and len(segmentation[0]) == 2:
        segmentation = [segmentation]
    return [
        [number for corner in part for number in corner]
        if isinstance(part, list) and part and isinstance(part[0], list)
        else part
        for part in segmentation
    ]


def _painted(objects: _Objects, classes: ClassTable, image: Path) -> Drawing:
    shapes = []
    for annotation in objects.annotations:
        segmentation = annotation["segmentation"]
        number = class_index(classes, objects.categories[_key(annotation["category_id"])])
        single = not annotation.get("iscrowd")
        if isinstance(segmentation, dict):
            shapes.append(Shape(number, CocoRuns(segmentation), single))
            continue
        outlines = _outlines(segmentation) if isinstance(segmentation, list) else [segmentation]
        if not all(isinstance(part, list) for part in outlines):
            raise ValueError(
                "a segmentation is neither a list of polygons nor a run-length mask: "
                f"{str(segmentation)[:60]}"
            )
        parts = [part for part in outlines if len(part) >= FEWEST_NUMBERS]
        odd = [part for part in parts if len(part) % 2]
        if odd:
            raise ValueError(f"a polygon has {len(odd[0])} numbers, which are no pairs (x, y)")
        if parts:
            shapes.append(Shape(number, CocoPolygons(parts), single))
    return paint(shapes, objects.size or image_size(image), largest_first=True)
