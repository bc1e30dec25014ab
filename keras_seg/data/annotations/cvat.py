"""CVAT: segmentation masks (1.1), its Pascal VOC export, and its XML for images and video (1.1)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from keras_seg.data.annotations import coco, yolo
from keras_seg.data.annotations.annotated_image import AnnotatedImage, Parts, plain, split_in
from keras_seg.data.annotations.class_labels import BACKGROUND, class_index, class_table
from keras_seg.data.annotations.cvat_tracks import frames_as_images, has_tracks
from keras_seg.data.annotations.export_folder import layout_of, read_lines, tell
from keras_seg.data.annotations.image_files import image_size
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

TOOL = "CVAT"
LABEL_MAP = "labelmap.txt"
XML_FILE = "annotations.xml"
AREAS = ("polygon", "mask", "box", "ellipse")
WITHOUT_AREA = ("polyline", "points", "cuboid", "skeleton", "tag")


def recognised(root: Path) -> bool:
    """Whether a folder is an export of CVAT: masks with a label map, or its XML."""
    return has_label_map(root) or bool(_xml_files(root))


def has_label_map(root: Path) -> bool:
    """Whether a folder holds masks in the colours that `labelmap.txt` lists."""
    return (root / LABEL_MAP).is_file() and (root / "SegmentationClass").is_dir()


def open_split(root: Path, split: str, *, strict: bool = True) -> LayoutSplit:
    """`SegmentationClass/` with `labelmap.txt` and `ImageSets/Segmentation/`, or the XML file.

    Its COCO and YOLO exports are read, too.
    """
    if has_label_map(root):
        return _open_masks(root, split, strict)
    xml = _xml_files(root)
    if xml:
        return _open_xml(root, xml, split, strict)
    for other in (yolo, coco):
        if other.recognised(root):
            return other.open_split(root, split, strict=strict)
    raise FileNotFoundError(
        f"{root} has neither {LABEL_MAP} with SegmentationClass/ nor {XML_FILE}, and no COCO "
        "file and no data.yaml. Export from CVAT "
        'as "Segmentation mask 1.1", with "Save images".'
    )


def _open_masks(root: Path, split: str, strict: bool) -> LayoutSplit:
    labels = _label_map(root / LABEL_MAP)
    if len(set(labels.values())) < len(labels):
        raise ValueError(f"{root / LABEL_MAP} has one colour for two labels. Change one in CVAT.")
    classes = class_table(root, labels, labels)
    codes = {int.from_bytes(bytes(c)): class_index(classes, label) for label, c in labels.items()}

    def read_truth(item: AnnotatedImage, image: Path) -> np.ndarray | tuple:
        mask = _class_map(item.source, codes)
        objects = root / "SegmentationObject" / item.source.name
        return (mask, _instances(objects, mask)) if objects.exists() else mask

    parts: Parts = defaultdict(list)
    for part, stem in _listed(root):
        mask = root / "SegmentationClass" / f"{stem}.png"
        if not mask.is_file():
            raise FileNotFoundError(f"There is no mask {mask}, which {root / 'ImageSets'} lists.")
        parts[part].append(AnnotatedImage(stem, mask, None))
    return layout_of(root, split, parts, classes, read_truth, tool=TOOL, strict=strict)


def _label_map(path: Path) -> dict[str, tuple[int, int, int]]:
    """Label → colour from lines of `label:red,green,blue:parts:actions`."""
    labels = {}
    for place, line in enumerate(read_lines(path), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        label, *rest = line.rsplit(":", 3) if line.count(":") >= 3 else line.split(":")
        try:
            red, green, blue = bytes(map(int, "".join(rest[:1]).split(",")))
        except ValueError as error:
            raise ValueError(
                f"{path}, line {place}: it must look like label:red,green,blue:parts:actions. "
                f"Received: {line!r}"
            ) from error
        labels[plain(label)] = (red, green, blue)
    if not labels:
        raise ValueError(f"{path} lists no label. Export again.")
    named = any(label.lower() in BACKGROUND for label in labels)
    if not named and (0, 0, 0) not in labels.values():
        labels = {BACKGROUND[0]: (0, 0, 0)} | labels
    return labels


def _class_map(path: Path, labels: Mapping[int, int]) -> np.ndarray:
    """(H, W) classes of a mask by its colours; `labels`: colour code → class."""
    codes = _color_codes(path)
    values, places = np.unique(codes, return_inverse=True)
    unknown = [int(value) for value in values if int(value) not in labels]
    if unknown:
        color = tuple(unknown[0].to_bytes(3))
        raise ValueError(f"the mask has the colour {color}, which {LABEL_MAP} does not list")
    classes = np.array([labels[int(value)] for value in values], np.int32)
    return classes[places.reshape(codes.shape)]


def _instances(path: Path, mask: np.ndarray) -> np.ndarray:
    """Objects numbered from 1, by their colours."""
    codes = _color_codes(path)
    _, numbers = np.unique(codes, return_inverse=True)
    return np.where(mask > 0, numbers.reshape(codes.shape) + 1, 0).astype(np.int32)


def _color_codes(path: Path) -> np.ndarray:
    """(H, W) colours as numbers 0xRRGGBB, of a palette or RGB picture."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(np.int32)
    return pixels @ np.array([1 << 16, 1 << 8, 1], np.int32)


def _listed(root: Path) -> Iterable[tuple[str, str]]:
    """(split, stem) of each line of the lists in `ImageSets/Segmentation/`."""
    lists = sorted((root / "ImageSets" / "Segmentation").glob("*.txt"))
    if not lists:
        for mask in sorted((root / "SegmentationClass").rglob("*.png")):
            stem = mask.relative_to(root / "SegmentationClass").with_suffix("").as_posix()
            yield split_in(stem), stem
        return
    named = {split_in(path.stem): path for path in lists}
    whole = [path for path in lists if not split_in(path.stem)]
    for path in named.values() if set(named) != {""} else whole:
        for line in read_lines(path):
            if plain(line):
                yield split_in(path.stem), plain(line)


def _xml_files(root: Path) -> list[Path]:
    """The XML files of CVAT, of which each task may have its own."""
    files = sorted([*root.glob("*.xml"), *root.glob(f"*/{XML_FILE}")])
    return [path for path in files if path.is_file() and b"<annotations" in _head(path)]


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def _parsed(path: Path) -> ElementTree.Element:
    try:
        tree = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is not an XML file: {error}. Export it again.") from error
    return tree


def _open_xml(root: Path, paths: Sequence[Path], split: str, strict: bool) -> LayoutSplit:
    trees = {path: _parsed(path) for path in paths}
    parts: Parts = defaultdict(list)
    without_area, drawn = [], []
    for path, image in ((p, image) for p in paths for image in _annotated(trees[p], p, root)):
        name = image.get("name", "")
        part = split_in(image.get("subset") or "") or split_in(str(Path(name).parent))
        parts[part].append(AnnotatedImage(name, path, image))
        for shape in image:
            if shape.tag in WITHOUT_AREA:
                without_area.append(name)
            elif shape.tag in AREAS:
                drawn.append(plain(shape.get("label")))
            else:
                raise ValueError(
                    f"{path}: {name} has a {shape.tag!r}, which is not read. Known: "
                    f"{', '.join(AREAS + WITHOUT_AREA)}"
                )
    tell({"lines, points and tags cover no area and are left out": without_area}, TOOL)
    labels = {
        plain(label.findtext("name")): _hex_color(label.findtext("color"))
        for tree in trees.values()
        for label in tree.iter("label")
        if label.findtext("name")
    }
    colored = all(labels.values()) and set(drawn) <= set(labels) and "background" in labels
    classes = class_table(root, [*labels, *drawn], labels if colored else None)

    def read_truth(item: AnnotatedImage, image: Path) -> Drawing:
        return _painted(item.content, classes, image)

    return layout_of(root, split, parts, classes, read_truth, tool=TOOL, strict=strict)


def _annotated(tree: ElementTree.Element, path: Path, root: Path) -> list[ElementTree.Element]:
    return frames_as_images(tree, path, root) if has_tracks(tree) else list(tree.iter("image"))


def _hex_color(text: str | None) -> tuple[int, ...]:
    digits = (text or "").lstrip("#")
    written = re.fullmatch(r"[0-9a-fA-F]{6}", digits)
    return tuple(bytes.fromhex(digits)) if written else ()


def _painted(image: ElementTree.Element, classes: ClassTable, path: Path) -> Drawing:
    size = int(image.get("height") or 0), int(image.get("width") or 0)
    size = size if all(size) else image_size(path)
    elements = [shape for shape in image if shape.tag in AREAS]
    elements.sort(key=lambda shape: int(shape.get("z_order") or 0))
    shapes = [
        Shape(class_index(classes, shape.get("label", "")), _area(shape.tag, shape.attrib))
        for shape in elements
    ]
    return paint(shapes, size, largest_first=False)


def _area(kind: str, values: Mapping[str, str]) -> Area:
    if kind == "polygon":
        return Polygon([_numbers(pair) for pair in values["points"].split(";")])
    if kind == "box":
        left, top, right, bottom = (float(values[name]) for name in ("xtl", "ytl", "xbr", "ybr"))
        return Rectangle(left, top, right, bottom, float(values.get("rotation") or 0))
    if kind == "ellipse":
        x, y, rx, ry = (float(values[name]) for name in ("cx", "cy", "rx", "ry"))
        return Ellipse(x - rx, y - ry, x + rx, y + ry, float(values.get("rotation") or 0))
    width, height = int(values["width"]), int(values["height"])
    runs = list(map(int, _numbers(values["rle"])))
    if sum(runs) != width * height:
        raise ValueError(f"the mask's run lengths add up to {sum(runs)}, not {width * height}")
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    return Bitmap(pixels, int(float(values["left"])), int(float(values["top"])))


def _numbers(text: str) -> Sequence[float]:
    return [float(number) for number in text.split(",")]
