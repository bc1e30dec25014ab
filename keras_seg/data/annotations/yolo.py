"""Ultralytics' polygons, one text file for each image, and its semantic masks.

A line is `CLASS x1 y1 x2 y2 x3 y3 ...` in parts of the image's width and height.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml

from keras_seg.data.annotations.annotated_image import (
    SPLIT_NAMES,
    AnnotatedImage,
    Parts,
    plain,
    split_in,
)
from keras_seg.data.annotations.class_labels import class_index, class_table, classes_of_values
from keras_seg.data.annotations.export_folder import layout_of, read_lines, tell
from keras_seg.data.annotations.image_files import image_size
from keras_seg.data.annotations.shapes import Drawing, Polygon, Shape, paint
from keras_seg.data.folder.pictures import IMAGE_SUFFIXES
from keras_seg.data.layouts.split import LayoutSplit
from keras_seg.data.reading.masks import read_mask

TOOL = "YOLO"
CLASS_LIST = "classes.txt"
TOLERANCE = 0.01
"""How far a corner may be outside the image, in parts of its width and height."""
ROUNDING = 1e-3
"""Pixels."""


def recognised(root: Path) -> bool:
    """Whether a folder has a data file of Ultralytics, or polygons in `labels/`."""
    if _data_file(root) is not None:
        return True
    return any(_looks_like_polygons(path) for path in sorted(root.glob("**/labels/**/*.txt"))[:20])


def open_split(root: Path, split: str, *, strict: bool = True) -> LayoutSplit:
    """`images/SPLIT` with `labels/SPLIT` or `SPLIT/images` with `SPLIT/labels`, and `data.yaml`.

    `masks/` in place of `labels/` holds PNG files of class indices.
    """
    data_file = _data_file(root) or _data_file(root, states_splits=False)
    data = _read_data(data_file) if data_file else {}
    parts = _parts(root, data_file, data)
    if not any(parts.values()):
        raise FileNotFoundError(
            f"{root} has not the layout of YOLO: no images are beside labels/ or masks/, by "
            f"{data_file or 'their folders'}. Pass the folder that holds data.yaml."
        )
    items = [item for images in parts.values() for item in images]
    names = _names(root, data_file, data, items)
    if any(item.content == "mask" for item in items):
        listed_in = data_file or root / CLASS_LIST
        classes, value_map = classes_of_values(root, dict(enumerate(names)), listed_in)

        def read_mask_of(item: AnnotatedImage, image: Path) -> np.ndarray:
            return value_map(read_mask(item.source), item.source)

        return layout_of(root, split, parts, classes, read_mask_of, tool=TOOL, strict=strict)
    classes = class_table(root, names)
    numbers = [class_index(classes, name) for name in names]
    for item in items:
        _polygons(item.source, len(names))
    unlabelled = [item.file_name for item in items if not item.source.exists()]
    tell({"images have no label file and are background throughout": unlabelled}, TOOL)

    def read_truth(item: AnnotatedImage, image: Path) -> Drawing:
        return _painted(item.source, numbers, image)

    return layout_of(root, split, parts, classes, read_truth, tool=TOOL, strict=strict)


def _data_file(root: Path, *, states_splits: bool = True) -> Path | None:
    """The file with the names of the classes, and with the splits unless those are not needed."""
    for path in sorted([*root.glob("*.yaml"), *root.glob("*.yml")], key=_data_yaml_first):
        try:
            content = yaml.safe_load(path.read_text("utf-8-sig"))
        except (yaml.YAMLError, UnicodeDecodeError):
            continue
        if not isinstance(content, dict) or "names" not in content:
            continue
        if not states_splits or _splits_in(content):
            return path
    return None


def _splits_in(data: Mapping) -> dict[str, Any]:
    """Split → its entry; CVAT writes the names of its subsets, such as Train and Validation."""
    entries = {}
    for key, value in data.items():
        split = next((s for s, names in SPLIT_NAMES.items() if str(key).lower() in names), None)
        if split is not None and value:
            entries.setdefault(split, value)
    return entries


def _data_yaml_first(path: Path) -> tuple[bool, str]:
    return path.name != "data.yaml", path.name


def _read_data(path: Path) -> dict:
    return yaml.safe_load(path.read_text("utf-8-sig"))


def _parts(root: Path, data_file: Path | None, data: Mapping) -> Parts:
    """Images of each split, by data.yaml where it lists them, else by the folders' names."""
    parts: Parts = {}
    base, entries = _base(root, data), _splits_in(data)
    for split in SPLIT_NAMES:
        listed = entries.get(split, ())
        sources = [listed] if isinstance(listed, str) else listed
        files = [path for source in sources for path in _listed_images(base, root, source)]
        parts[split] = [_item(path, data) for path in dict.fromkeys(files)]
    if any(parts.values()):
        return parts
    found: Parts = defaultdict(list)
    folders = sorted(path for path in (root, *root.rglob("images")) if path.name == "images")
    for path in (p for folder in folders for p in sorted(folder.rglob("*")) if _is_image(p)):
        split = next(filter(None, map(split_in, path.relative_to(root).parts[:-1])), "")
        found[split].append(_item(path, data))
    return found


def _base(root: Path, data: Mapping) -> Path:
    path = Path(str(data.get("path") or "."))
    inside = root / path
    return inside if inside.is_dir() else root


def _listed_images(base: Path, root: Path, source: str) -> list[Path]:
    """Images of a folder or a list file; paths of another machine are searched by their end."""
    parts = [part for part in PurePosixPath(str(source).replace("\\", "/")).parts if part != ".."]
    parts = [part for part in parts if part not in ("/", ".")]
    tails = [Path(*parts[start:]) for start in range(len(parts))]
    for path in (base / source, *(base / tail for tail in tails), *(root / t for t in tails)):
        if path.is_dir():
            return [file for file in sorted(path.rglob("*")) if _is_image(file)]
        if path.is_file() and path.suffix == ".txt":
            lines = (line.strip() for line in read_lines(path))
            return [_listed_file(path.parent, root, line) for line in lines if line]
    return []


def _listed_file(folder: Path, root: Path, line: str) -> Path:
    parts = [
        part for part in PurePosixPath(line.replace("\\", "/")).parts if part not in ("/", "..")
    ]
    tails = [root.joinpath(*parts[start:]) for start in range(len(parts))]
    candidates = (folder / line, *tails, Path(line))
    return next((path for path in candidates if path.is_file()), candidates[0])


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def _item(image: Path, data: Mapping) -> AnnotatedImage:
    masks = str(data.get("masks_dir") or "masks")
    mask = _beside(image, masks).with_suffix(".png")
    labels = _beside(image, "labels").with_suffix(".txt")
    if mask.exists() and not labels.parent.is_dir():
        return AnnotatedImage(image.name, mask, "mask", image)
    return AnnotatedImage(image.name, labels, "polygons", image)


def _beside(image: Path, folder: str) -> Path:
    """The path with the last folder `images` replaced."""
    parts = list(image.parts)
    places = [i for i, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = folder
        return Path(*parts)
    return image


def _names(
    root: Path, data_file: Path | None, data: Mapping, items: Sequence[AnnotatedImage]
) -> list[str]:
    names = data.get("names")
    if isinstance(names, Mapping):
        numbers = sorted(int(number) for number in names if str(number).isdecimal())
        if len(numbers) < len(names) or numbers != list(range(len(numbers))):
            raise ValueError(f"{data_file}: names must be numbered 0, 1, 2, ... Received: {names}")
        names = [names.get(number, names.get(str(number))) for number in numbers]
    if names is None and (root / CLASS_LIST).is_file():
        names = "\n".join(read_lines(root / CLASS_LIST)).rstrip().splitlines()
    if isinstance(names, list) and names:
        names = ["" if name is None else plain(name) for name in names]
        if "" in names:
            raise ValueError(f"{data_file or root / CLASS_LIST}: a class has no name: {names}")
        if data.get("nc") not in (None, len(names)):
            raise ValueError(
                f"{data_file}: nc is {data['nc']}, and names has {len(names)} classes. Correct one."
            )
        return names
    if names is not None:
        raise ValueError(f"{data_file}: names must be a list of class names. Received: {names!r}")
    _check_yaml(root)
    raise ValueError(
        f"{root} has no data.yaml with names, and no {CLASS_LIST}. Write data.yaml: "
        "names: [cat, dog]"
    )


def _check_yaml(root: Path) -> None:
    """Refuses a data file with an error in its syntax, which is otherwise passed over."""
    for path in sorted([*root.glob("*.yaml"), *root.glob("*.yml")], key=_data_yaml_first):
        try:
            yaml.safe_load(path.read_text("utf-8-sig"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not a YAML file: {error}. Correct it.") from error


def _looks_like_polygons(path: Path) -> bool:
    try:
        (line, *_) = path.read_text("utf-8-sig").splitlines()
        numbers = list(map(float, line.split()))
    except (ValueError, OSError):
        return False
    return len(numbers) >= 7 and len(numbers) % 2 == 1 and all(0 <= n <= 1 for n in numbers[1:])


def _polygons(path: Path, num_classes: int) -> list[tuple[int, np.ndarray]]:
    """(class, (N, 2) corners in parts of the width and height) of each line of a label file.

    Raises: ValueError that names the line.
    """
    polygons = []
    lines = read_lines(path) if path.exists() else []
    for place, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            label, *values = map(float, line.split())
        except ValueError as error:
            raise ValueError(
                f"{path}, line {place}: no numbers. Received: {line[:60]!r}"
            ) from error
        if len(values) == 4:
            raise ValueError(
                f"{path}, line {place}: a box, which shows no outline. Export polygons "
                "(segmentation) from the labelling tool."
            )
        if len(values) < 6 or len(values) % 2:
            raise ValueError(f"{path}, line {place}: {len(values)} coordinates make no polygon.")
        if not label.is_integer() or not 0 <= label < num_classes:
            raise ValueError(
                f"{path}, line {place}: the class {label:g}. The data file names {num_classes} "
                "classes, from 0 on."
            )
        if not all(-TOLERANCE <= value <= 1 + TOLERANCE for value in values):
            raise ValueError(
                f"{path}, line {place}: coordinates outside of 0..1. They are parts of the image's "
                "width and height."
            )
        polygons.append((int(label), np.clip(values, 0, 1).reshape(-1, 2)))
    return polygons


def _painted(path: Path, numbers: Sequence[int], image: Path) -> Drawing:
    height, width = size = image_size(image)
    shapes = []
    for label, corners in _polygons(path, len(numbers)):
        # Ultralytics cuts fractions off; rounding errors of the decimals must not cost a pixel
        pixels = np.floor(corners * (width, height) + ROUNDING)
        shapes.append(Shape(numbers[label], Polygon(pixels)))
    return paint(shapes, size, largest_first=True)
