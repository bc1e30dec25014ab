"""Label Studio's JSON and JSON-MIN, with polygons, brush masks, rectangles and ellipses."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from keras_seg.data.annotations import coco, yolo
from keras_seg.data.annotations.annotated_image import AnnotatedImage, Parts, plain, split_in
from keras_seg.data.annotations.class_labels import LISTED, class_index, class_table
from keras_seg.data.annotations.export_folder import few_of_each_folder, layout_of, read_json, tell
from keras_seg.data.annotations.image_files import address_path, image_size
from keras_seg.data.annotations.shapes import (
    DECIMALS,
    Area,
    Bitmap,
    Drawing,
    Ellipse,
    Polygon,
    Shape,
    paint,
    rotated,
)
from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.pictures import IMAGE_SUFFIXES
from keras_seg.data.layouts.split import LayoutSplit
from keras_seg.data.reading.masks import read_mask

TOOL = "Label Studio"
BRUSH_PICTURE = re.compile(r"^task-(\d+)-annotation-\d+-by-.*-tag-(.+)-\d+$")
ALPHA = 3


@dataclass(frozen=True)
class _Region:
    label: str
    value: Mapping
    size: tuple[int, int] | None


@dataclass(frozen=True)
class _Task:
    regions: list[_Region]
    pictures: list[tuple[str, Path]]


def recognised(root: Path) -> bool:
    """Whether a folder holds a JSON export of Label Studio."""
    return any(_tasks(path) is not None for path in few_of_each_folder(_files(root)))


def open_split(root: Path, split: str, *, strict: bool = True) -> LayoutSplit:
    """`X.json` with the tasks, images below the folder; PNG files per tag beside it are read."""
    exports = [(path, tasks) for path in _files(root) if (tasks := _tasks(path)) is not None]
    if not exports:
        for other in (coco, yolo):
            if other.recognised(root):
                return other.open_split(root, split, strict=strict)
        raise FileNotFoundError(
            f"{root} has no JSON file with the tasks of Label Studio. Export as JSON; PNG files "
            "alone do not say which image they belong to."
        )
    pictures = _brush_pictures(root)
    parts: Parts = defaultdict(list)
    unlabelled, several, without_area, predictions, labels = [], [], [], [], []
    predicted = not pictures and _only_predictions(task for _, tasks in exports for task in tasks)
    for path, tasks in exports:
        for task in _once_each(tasks):
            name = _image_name(task, path)
            results, number = _results(task, predicted=predicted)
            drawn = pictures.get(str(task.get("id")), [])
            if results is None and not drawn:
                unlabelled.append(name)
                continue
            without_area += [name for result in results or () if _is_point(result)]
            several += [name] * (number > 1)
            regions = list(_regions(results or (), f"{path} ({name})"))
            if drawn:  # the pictures are the brush masks of the JSON file, drawn
                regions = [region for region in regions if "rle" not in region.value]
            predictions += [name] * predicted
            labels += [region.label for region in regions] + [label for label, _ in drawn]
            part = split_in(path.stem) or split_in(str(PurePosixPath(name).parent))
            parts[part].append(AnnotatedImage(name, path, _Task(regions, drawn)))
    tell(
        {
            "images have no annotation yet and are left out": unlabelled,
            "points cover no area and are left out": without_area,
            "images have predictions of a model and no annotations; these are used": predictions,
            "images have annotations of several people, of which the first is used": several,
        },
        TOOL,
    )
    classes = class_table(root, sorted(set(map(plain, labels))))

    def read_truth(item: AnnotatedImage, image: Path) -> Drawing:
        return _painted(item.content, classes, image)

    return layout_of(root, split, parts, classes, read_truth, tool=TOOL, strict=strict)


def _files(root: Path) -> list[Path]:
    return sorted({*root.glob("*.json"), *root.glob("*/*.json")})


def _tasks(path: Path) -> list[Mapping] | None:
    """The tasks of an export; None for another file."""
    try:
        content = read_json(path)
    except (ValueError, OSError):
        return None
    tasks = content if isinstance(content, list) else [content]
    known = all(isinstance(task, dict) and (_is_full(task) or _is_short(task)) for task in tasks)
    return tasks if tasks and known else None


def _once_each(tasks: Sequence[Mapping]) -> list[Mapping]:
    """JSON-MIN has a task for each annotator: the first of them."""
    first: dict[object, Mapping] = {}
    for number, task in enumerate(tasks):
        key = number if _is_full(task) or "id" not in task else f"id {task['id']}"
        first.setdefault(key, task)
    return [*first.values()]


def _is_full(task: Mapping) -> bool:
    lists = {"annotations", "completions", "predictions"}
    return isinstance(task.get("data"), dict) and bool(lists & task.keys())


def _is_short(task: Mapping) -> bool:
    """JSON-MIN: the fields of the task, and the regions under the names of their tags."""
    return "annotator" in task or "annotation_id" in task


def _image_name(task: Mapping, path: Path) -> str:
    """The path below the folder of images, out of an address or a local path."""
    fields = task["data"] if _is_full(task) else task
    texts = {}
    for key, value in fields.items():
        one = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(one, str):
            texts[key] = one
    names = {}
    for key, text in texts.items():
        name = address_path(text).removeprefix("/data/upload/").lstrip("/")
        if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
            names[key] = name
    targets = {
        result.get("to_name") for result in _results(task)[0] or () if isinstance(result, dict)
    }
    preferred = [names[key] for key in ("image", *targets) if key in names]
    chosen = [*dict.fromkeys(preferred or names.values())]  # "image" is often a target, too
    if not chosen:
        raise ValueError(
            f"{path}: the task {task.get('id')} names no image. Received: "
            f"{list(texts.values())[:LISTED]}"
        )
    if len(chosen) > 1:
        raise ValueError(
            f"{path}: the task {task.get('id')} has {len(chosen)} images: {chosen[:LISTED]}. "
            "Label one image per task."
        )
    return chosen[0]


def _results(task: Mapping, *, predicted: bool = False) -> tuple[Sequence[Mapping] | None, int]:
    """(regions of the annotation that is used, number of annotations); None for no annotation.

    Args:
        task: the task.
        predicted: whether to use the predictions of a model in place of annotations.
    """
    if not _is_full(task):
        lists = [v for v in task.values() if isinstance(v, list) and all(map(_is_value, v))]
        return [{"value": value} | value for values in lists for value in values], 1
    listed = task.get("annotations") or task.get("completions") or ()
    if predicted:
        listed = task.get("predictions") or ()
    made = [a for a in listed if isinstance(a, dict) and not a.get("was_cancelled")]
    made.sort(key=lambda annotation: not annotation.get("ground_truth"))
    return (made[0].get("result") or [], len(made)) if made else (None, 0)


def _only_predictions(tasks: Iterable[Mapping]) -> bool:
    """Whether an export has predictions and not a single annotation."""
    listed = list(tasks)
    annotated = any(_results(task)[0] is not None for task in listed)
    return not annotated and any(task.get("predictions") for task in listed)


def _is_value(value: object) -> bool:
    return isinstance(value, dict) and bool(_geometry_keys(value))


def _is_point(result: object) -> bool:
    value = result.get("value") if isinstance(result, dict) else None
    return isinstance(value, dict) and bool({"keypointlabels", "vertices"} & value.keys())


def _geometry_keys(value: Mapping) -> set[str]:
    return {"points", "rle", "radiusX", "height"} & value.keys()


def _regions(results: Iterable[Mapping], where: str) -> Iterable[_Region]:
    """Regions with their labels, which may be in two entries with the same id."""
    by_id: dict[object, list[Mapping]] = defaultdict(list)
    for number, result in enumerate(results):
        if not isinstance(result, dict) or "imageDataURL" in (result.get("value") or {}):
            raise ValueError(
                f"{where}: a region is not a polygon, brush mask, rectangle or ellipse. Received: "
                f"{str(result)[:80]}"
            )
        by_id[result.get("id", number)].append(result)
    for entries in by_id.values():
        shapes = [e for e in entries if _geometry_keys(e.get("value") or {})]
        if not shapes:
            continue  # a choice, a text or a relation
        labels = {label for entry in entries for label in _labels(entry["value"])}
        if len(labels) != 1:
            raise ValueError(
                f"{where}: a region has {len(labels)} labels ({sorted(labels)}), and a pixel has "
                "one class. Give it one label."
            )
        first = shapes[0]
        size = first.get("original_height"), first.get("original_width")
        sized = tuple(map(int, size)) if all(size) else None
        yield _Region(plain(labels.pop()), first["value"], sized)


def _labels(value: Mapping) -> list[str]:
    return [
        str(label)
        for key, values in value.items()
        if key.endswith("labels") and isinstance(values, list)
        for label in values
    ]


def _brush_pictures(root: Path) -> dict[str, list[tuple[str, Path]]]:
    """Task → (label, file) of its PNG files, one for each tag."""
    pictures = defaultdict(list)
    for path in sorted(root.rglob("task-*.png")):
        if match := BRUSH_PICTURE.match(path.stem):
            pictures[match[1]].append((match[2], path))
    return pictures


def _painted(task: _Task, classes: ClassTable, image: Path) -> Drawing:
    stated = [region.size for region in task.regions if region.size]
    size = stated[0] if stated else image_size(image)
    if not any("rle" in region.value for region in task.regions):
        size = _size_of_copy(size, image)
    shapes = [
        Shape(class_index(classes, region.label), _area(region.value, size))
        for region in task.regions
    ]
    for label, path in task.pictures:
        drawn = read_mask(path) > 0
        if drawn.shape != size:
            raise ValueError(f"{path} has another size than its image")
        shapes.append(Shape(class_index(classes, label), Bitmap(drawn)))
    return paint(shapes, size, largest_first=False)


def _size_of_copy(stated: tuple[int, int], image: Path) -> tuple[int, int]:
    """The size of the image file, if it is the annotated image in another size.

    Coordinates are percent of the size, so that they hold for any copy of the same proportions.
    """
    height, width = image_size(image)
    alike = abs(height * stated[1] - width * stated[0]) <= max(height, width, *stated)
    return (height, width) if alike else stated


def _area(value: Mapping, size: tuple[int, int]) -> Area:
    """The area of a region, whose numbers are percent of the image's width and height."""
    height, width = size
    scale = np.array([width, height]) / 100
    if "rle" in value:
        return Bitmap(brush_mask(value["rle"], size))
    if "points" in value:
        if len(value["points"]) < 3:
            raise ValueError(f"a polygon has {len(value['points'])} corners")
        return Polygon(np.round(np.asarray(value["points"], float) * scale, DECIMALS))
    x, y = np.array([value["x"], value["y"]]) * scale
    degrees = float(value.get("rotation") or 0)
    if "radiusX" in value:
        rx, ry = np.array([value["radiusX"], value["radiusY"]]) * scale
        return Ellipse(x - rx, y - ry, x + rx, y + ry, degrees)
    w, h = np.array([value["width"], value["height"]]) * scale
    corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
    return Polygon(np.round(rotated(corners, (x, y), degrees), DECIMALS))


def brush_mask(packed: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """(height, width) bool from the run lengths of Label Studio's brush.

    The bytes are a stream of bits: 32 for the number of values, 5 for the bits of a value less 1,
    four times 4 for the bits of run lengths less 1. Then runs: a bit for "repeats", 2 bits that
    choose the width of the run length, the run length less 1, and one value or as many as the run
    is long. The values are RGBA pixels in rows; their alpha channel is the mask.

    Raises: ValueError for a stream that ends early or is of another image's size.
    """
    try:
        bits = "".join(f"{byte:08b}" for byte in bytes(packed))
    except (ValueError, TypeError) as error:
        raise ValueError(f"a brush mask has entries that are no bytes: {error}") from error
    place = 0

    def take(count: int) -> int:
        nonlocal place
        place += count
        if place > len(bits):
            raise ValueError("a brush mask ends early")
        return int(bits[place - count : place], 2)

    count, value_bits = take(32), take(5) + 1
    run_bits = [take(4) + 1 for _ in range(4)]
    height, width = size
    if count != height * width * 4:
        raise ValueError(f"a brush mask has {count // 4} pixels, and the image {height * width}")
    values = np.zeros(count, np.uint8)
    at = 0
    while at < count:
        repeats = take(1)
        end = at + 1 + take(run_bits[take(2)])
        if end > count:
            raise ValueError("a brush mask has more pixels than it says")
        if repeats:
            values[at:end] = take(value_bits)
        else:
            values[at:end] = [take(value_bits) for _ in range(end - at)]
        at = end
    return values.reshape(height, width, 4)[..., ALPHA] > 0
