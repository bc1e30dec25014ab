"""Describes the content of a folder that is not yet a data set, for messages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from keras_seg.data.folder.pictures import (
    IMAGE_FOLDERS,
    MASK_FOLDERS,
    SPLIT_FOLDERS,
    folders_in,
)

JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
JPEG_MASKS = (
    "Masks are not read from JPEG files, whose compression changes class indices. Export them from "
    "the labelling tool as PNG."
)
OTHER_PICTURES = (".gif", ".webp", ".jp2", ".ppm", ".pgm", ".heic", ".svg", ".psd", ".exr")
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar")
LOOKED_AT = 40
"""Largest number of sub-folders that are searched."""
HEAD = 4096
"""Number of bytes at the start of an annotation file by which it is recognised."""
NAMED = 3
"""Number of names that a message lists."""

FORMATS = {
    "LabelMe": "Open the folder as labelme:FOLDER.",
    "COCO": "Open the folder as coco:FOLDER.",
    "VIA": "They are not read. Export from VIA as COCO, and open the folder as coco:FOLDER.",
    "Label Studio": "Open the folder as labelstudio:FOLDER.",
    "YOLO": "Open the folder as yolo:FOLDER.",
    "Pascal VOC boxes": "They are not read: boxes show no outlines, so masks need to be drawn.",
    "CVAT": "Open the folder as cvat:FOLDER.",
}
"""Annotation formats, and how to use them."""


def describe_folder(folder: Path, *, kind: str, endings: Sequence[str]) -> str:
    """Describes what a folder holds in place of images or masks; empty if nothing is unusual.

    Args:
        folder: the folder.
        kind: "images" or "masks".
        endings: file suffixes that are read.
    """
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    folders = [path.name for path in files if path.is_dir()]
    others = Counter(
        path.suffix.lower()
        for path in files
        if path.is_file() and path.suffix.lower() not in endings
    )
    sentences = []
    if not files:
        sentences.append(f"{folder} is empty.")
    if kind == "masks" and any(others[ending] for ending in JPEG):
        sentences.append(JPEG_MASKS)
    pictures = [ending for ending in OTHER_PICTURES if others[ending]]
    if pictures:
        sentences.append(
            f"{folder} holds {sum(others[ending] for ending in pictures)} files that end in "
            f"{', '.join(pictures)}, which are not read as {kind}. Save them as PNG."
        )
    if folders:
        sentences.append(
            f"{folder} has the sub-folders {_some(folders)}, in which no {kind} are looked for."
        )
    return " ".join([*sentences, *annotations_in([folder])])


def describe_place(root: Path) -> str:
    """Describes the content of a folder without images/ or masks/, and of its sub-folders."""
    if not root.is_dir():
        return ""
    if (root / "VOCdevkit").is_dir():
        return f"It has VOCdevkit/: open the folder as voc:{root}"
    sentences = []
    below = _folders_below(root)
    for folder in below:
        if (folder / "images").is_dir() and (folder / "masks").is_dir():
            return f"{folder} has both: pass that folder."
    archives = _files(root, ARCHIVES)
    if archives:
        sentences.append(f"{archives[0]} is an archive: unpack it.")
    return " ".join([*sentences, *annotations_in([root, *below])])


def data_set_above(folder: Path) -> Path | None:
    """The data set of which a folder holds only the images or the masks; None for others.

    That of cells/images, cells/images/train and cells/train/images is cells.
    """
    kinds, splits = (*IMAGE_FOLDERS, *MASK_FOLDERS), {s for n in SPLIT_FOLDERS.values() for s in n}
    path = folder.resolve()
    steps = [path.name.lower(), path.parent.name.lower()]
    above = [path.parent, path.parent.parent]
    if steps[0] in kinds:
        root = above[1] if steps[1] in splits else above[0]
    elif steps[0] in splits and steps[1] in kinds:
        root = above[1]
    else:
        return None
    names = {each.name.lower() for each in (*folders_in(root), *folders_in(above[0]))}
    is_whole = names.intersection(IMAGE_FOLDERS) and names.intersection(MASK_FOLDERS)
    return _as_given(root, folder) if is_whole else None


def _as_given(root: Path, folder: Path) -> Path:
    """A folder above another, relative if that is."""
    given = next((each for each in folder.parents if each.resolve() == root), root)
    return given if given.is_absolute() or given != Path() else Path.cwd()


def annotations_in(folders: Iterable[Path]) -> list[str]:
    """One sentence for each annotation format in these folders."""
    formats: dict[str, Path] = {}
    for folder in folders:
        for path in _first_files(folder):
            kind = annotation_kind(path)
            if kind:
                formats.setdefault(kind, path)
    return [
        f"{path} holds annotations of {kind}. {FORMATS[kind]}" for kind, path in formats.items()
    ]


def annotation_kind(path: Path) -> str | None:
    """The entry of `FORMATS` that a file belongs to; None for other files."""
    ending = path.suffix.lower()
    if ending not in (".json", ".txt", ".xml") or path.name == "classes.json":
        return None
    try:
        with path.open("rb") as file:
            head = file.read(HEAD).decode("utf-8", "replace")
    except OSError:
        return None
    if ending == ".json":
        return _json_kind(head)
    if ending == ".xml":
        if "<annotations" in head:
            return "CVAT"
        return "Pascal VOC boxes" if "<annotation" in head else None
    lines = [line.split() for line in head.splitlines()[:3] if line.strip()]
    number = re.compile(r"\d+(\.\d+)?(e-?\d+)?$")
    polygons = [
        len(words) >= 5 and words[0].isdigit() and all(map(number.match, words)) for words in lines
    ]
    return "YOLO" if lines and polygons[0] else None


def _json_kind(head: str) -> str | None:
    if '"shapes"' in head:
        return "LabelMe"
    if '"_via_' in head or '"shape_attributes"' in head:
        return "VIA"
    coco = ('"images"', '"annotations"', '"categories"', '"licenses"', '"segmentation"', '"bbox"')
    if sum(word in head for word in coco) >= 2:
        return "COCO"
    if '"annotations"' in head and '"result"' in head:
        return "Label Studio"
    return None


def unpaired_names(images: Iterable[str], masks: Iterable[str]) -> str:
    """Describes how the names of images and masks differ, if none is equal."""
    images, masks = sorted(images), sorted(masks)
    if not images or not masks:
        return ""
    named = f"Images are named like {_some(images)}, masks like {_some(masks)}."
    first = [mask for mask in masks if mask.startswith(images[0])]
    rest = first[0].removeprefix(images[0]) if first else ""
    if len(first) > 1 and not rest[:1].isdigit():  # 001 and 0012 are numbers
        return (
            f"{named} {len(first)} masks begin with {images[0]!r}: an image needs one mask, in "
            "which each class has its index. Merge them, or write the suffix of the right ones to "
            f'classes.json: "mask_suffix": "{rest}".'
        )
    return named


def _folders_below(root: Path) -> list[Path]:
    """Sub-folders and their sub-folders, the nearest first."""
    near = sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != ".")
    far = [
        path
        for folder in near[:LOOKED_AT]
        for path in sorted(folder.iterdir())[: 10 * LOOKED_AT]
        if path.is_dir()
    ]
    return [*near, *far][:LOOKED_AT]


def _files(folder: Path, endings: Sequence[str]) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)


def _first_files(folder: Path) -> list[Path]:
    """The first files of each suffix; a list of classes often comes before the annotations."""
    files = []
    for ending in (".json", ".txt", ".xml"):
        files += _files(folder, (ending,))[:NAMED]
    return [path for path in files if path.is_file()]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
