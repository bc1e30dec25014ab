"""What the readers of annotation exports share: images, classes and splits of a folder."""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
import warnings
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from PIL import Image, UnidentifiedImageError

from keras_seg.data.class_file import read_class_file
from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.masks import CLASS_FILE_NAME
from keras_seg.data.folder.pairs import Pair, ValueMap
from keras_seg.data.folder.scan import IMAGE_SUFFIXES, stems_of_split
from keras_seg.data.layouts.split import LayoutSplit
from keras_seg.data.reading.images import orientation
from keras_seg.names import IGNORE_CLASS, unknown_name

SPLIT_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
"""Words in the names of folders and files that name the split."""
BACKGROUND = ("background", "_background_", "__background__")
"""Labels that become class 0."""
UNKNOWN = ("__ignore__",)
"""Labels whose pixels become 255, which nothing counts."""
MASK_FOLDERS = ("masks", "SegmentationClass", "SegmentationObject", "ann")
UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the names of files that are uploaded."""
UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    UnidentifiedImageError,
    zlib.error,
)
"""What a wrong entry of an annotation file raises."""
MANY = 200
"""Number of files from which on their sizes are not asked for."""
LOOKED_AT = 20
"""Number of files of a folder by which an export is recognised."""
LISTED = 3


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of an export, before its image file is found.

    Attributes:
        file_name: name of the image, as the annotation file writes it.
        source: the annotation file.
        content: what the format's reader needs to paint the mask.
        image: the image file, where the reader knows it; otherwise it is looked for.
    """

    file_name: str
    source: Path
    content: Any
    image: Path | None = None

    def __str__(self) -> str:
        return f"{self.source} ({self.file_name})"


Parts = dict[str, list[AnnotatedImage]]
"""Images of each split; an export without splits has the one part ""."""


def layout_of(
    root: Path,
    split: str,
    parts: Parts,
    classes: ClassTable,
    read_truth: Callable[[AnnotatedImage, Path], tuple[np.ndarray, np.ndarray] | np.ndarray],
    *,
    tool: str,
    strict: bool,
) -> LayoutSplit:
    """One split of an export.

    Args:
        read_truth: (annotated image, image file) → mask, or (mask, instances).
        tool: name of the format, for messages.
        strict: whether a missing image file is an error. Otherwise the image is left out, with a
            warning.

    Raises: ValueError for a split that the export does not have; FileNotFoundError for missing
        images.
    """
    chosen = chosen_part(root, split, parts, tool)
    files = ImageFiles(root)
    located = [(item, item.image or files.find(item, split)) for item in chosen]
    missing = [item.file_name for item, path in located if path is None or not path.exists()]
    if missing:
        there = f"{len(missing)} of the {len(chosen)} images that {tool} names are not in {root}"
        told = f"{there}, for example {missing[:LISTED]}."
        if strict or len(missing) == len(chosen):
            raise FileNotFoundError(
                f"{told} Export with the images, or copy them into {root / 'images'}."
            )
        warnings.warn(f"Left out: {told}", stacklevel=2)
    kept = [(item, path) for item, path in located if path is not None and path.exists()]
    kept.sort(key=lambda pair: pair[1])
    twice = _first_twice([path for _, path in kept])
    if twice is not None:
        raise ValueError(
            f"{tool} in {root} names the image {twice} twice in the split {split!r}. Merge its "
            "annotations, or export again."
        )

    def read(item: AnnotatedImage):
        try:
            return read_truth(item, images[id(item)])
        except UNREADABLE as error:
            told = error if isinstance(error, ValueError) else repr(error)
            raise ValueError(f"{item} has an annotation that cannot be read: {told}.") from error

    images = {id(item): path for item, path in kept}
    stems = [path.stem for _, path in kept]
    if len(set(stems)) < len(stems):
        stems = [f"{path.parent.name}/{path.stem}" for _, path in kept]
    return LayoutSplit([Pair(path, item) for item, path in kept], classes, read, names=stems)


def _first_twice(paths: Sequence[Path]) -> Path | None:
    return next((a for a, b in itertools.pairwise(paths) if a == b), None)


def chosen_part(root: Path, split: str, parts: Parts, tool: str) -> list[AnnotatedImage]:
    """The images of a split: by the export's own splits, or else divided as a plain folder."""
    if split not in SPLIT_NAMES:
        raise ValueError(unknown_name(f"split of {tool}", split, SPLIT_NAMES))
    parts = {name: images for name, images in parts.items() if images}
    if not parts:
        raise ValueError(f"{root} holds no annotated image of {tool}. Export again with images.")
    if split in parts and (split != "train" or "val" in parts):
        return parts[split]
    undivided = [item for name in ("train", "") for item in parts.get(name, [])]
    if split == "test" or not undivided:
        raise ValueError(
            f"{root} has no split {split!r}. It has: {', '.join(sorted(parts)) or 'none'}."
        )
    if "val" in parts:
        return undivided
    _check_once(root, undivided, tool)
    stems = {PurePosixPath(item.file_name.replace("\\", "/")).stem: item for item in undivided}
    if len(stems) < len(undivided):
        stems = {str(number): item for number, item in enumerate(undivided)}
    chosen = [stems[s] for s in stems_of_split(root, split, sorted(stems)) if s in stems]
    if not chosen:
        raise ValueError(
            f"The split {split!r} of {root} is empty: {len(undivided)} annotated images are there "
            'in all. Add images, or list the splits in splits.json: {"train": ["a"], "val": ["b"]}.'
        )
    return chosen


def _check_once(root: Path, items: Sequence[AnnotatedImage], tool: str) -> None:
    """Refuses an image that is listed twice: it could train and validate."""
    names = [item.image or item.source.parent / plain(item.file_name) for item in items]
    twice = _first_twice(sorted(names))
    if twice is not None:
        raise ValueError(
            f"{tool} in {root} names the image {twice} twice. Merge its annotations, or export "
            "again."
        )


def split_in(text: str) -> str:
    """The split in the name of a file or folder; "" if there is none."""
    tokens = re.split(r"[^a-z]+", text.lower())
    for split, names in SPLIT_NAMES.items():
        if any(name in tokens for name in names):
            return split
    return ""


def split_folder(root: Path, split: str) -> Path | None:
    """The sub-folder of a split, whose name may be "valid" for "val"."""
    names = SPLIT_NAMES[split]
    return next((root / name for name in names if (root / name).is_dir()), None)


def plain(name: object) -> str:
    """A name in the form that all names are compared in: Unicode NFC, no space around it."""
    return unicodedata.normalize("NFC", str(name)).strip()


def class_table(
    root: Path, labels: Iterable[str], colors: dict[str, tuple[int, int, int]] | None = None
) -> ClassTable:
    """The classes of an export: background first, then its labels in their order.

    `classes.json` in the folder fixes names and order instead. It must have every label.

    Raises: ValueError for labels that `classes.json` does not have, and for none at all.
    """
    names = list(dict.fromkeys(plain(label) for label in labels))
    names = [name for name in names if name not in UNKNOWN]
    if "" in names:
        raise ValueError(f"{root} has a label without a name. Name it in the labelling tool.")
    stated = root / CLASS_FILE_NAME
    if stated.exists():
        table = read_class_file(stated).classes
        missing = [name for name in names if name not in (*table.names, *BACKGROUND)]
        if missing:
            raise ValueError(
                f"{stated} has no class {missing[:LISTED]}, which {root} labels. Add the names, "
                "or delete the file."
            )
        return table
    background = next((name for name in names if name.lower() in BACKGROUND), BACKGROUND[0])
    ordered = [background, *(name for name in names if name != background)]
    if len(ordered) == 1:
        raise ValueError(f"{root} names no class. Export again with labels.")
    folded = defaultdict(list)
    for name in ordered:
        folded[name.casefold()].append(name)
    alike = [group for group in folded.values() if len(group) > 1]
    if alike:
        warnings.warn(
            f"{root} has labels that differ in upper and lower case alone: {alike[0]}. They are "
            "separate classes. Rename one in the labelling tool if they are the same.",
            stacklevel=2,
        )
    if not colors:
        return ClassTable(tuple(ordered))
    return ClassTable(tuple(ordered), tuple(colors.get(name, (0, 0, 0)) for name in ordered))


def classes_of_values(root: Path, names: Mapping[int, str], listed_in: object) -> tuple:
    """The classes of masks that hold values, and the map from values to classes.

    The order is that of the values; `classes.json` in the folder fixes another.

    Args:
        root: folder of the export.
        names: value in the masks → label.
        listed_in: where the user finds them, for messages.

    Returns: (ClassTable, ValueMap).

    Raises: ValueError for labels that `classes.json` does not have.
    """
    stated = (root / CLASS_FILE_NAME).exists()
    table = class_table(root, names.values()) if stated else ClassTable(tuple(names.values()))
    numbers = {value: class_index(table, name) for value, name in names.items()}
    return table, ValueMap(numbers | {IGNORE_CLASS: IGNORE_CLASS}, listed_in=str(listed_in))


def class_index(classes: ClassTable, label: str) -> int:
    """The class of a label; 255 for the labels that mean "unknown".

    Raises: ValueError for a label that is not a class.
    """
    name = plain(label)
    if name in UNKNOWN:
        return IGNORE_CLASS
    if name in classes.names:
        return classes.names.index(name)
    if name.lower() in BACKGROUND:
        return 0
    raise ValueError(unknown_name("label", name, classes.names))


def tell(problems: dict[str, Sequence[str]], tool: str) -> None:
    """Warns once for each kind of annotation that is not used, with the number and an example."""
    for what, where in problems.items():
        if where:
            warnings.warn(
                f"{tool}: {len(where)} {what}, for example {where[0]}.",
                stacklevel=2,
            )


def read_json(path: Path) -> Any:
    """The content of a JSON file; ValueError that names it."""
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON file: {error}. Export it again.") from error


def few_of_each_folder(paths: Iterable[Path]) -> list[Path]:
    """A few files of each folder, sorted: the largest, or of many files the first."""
    by_folder = defaultdict(list)
    for path in paths:
        if not path.name.startswith("."):
            by_folder[path.parent].append(path)
    few = []
    for files in by_folder.values():
        few += sorted(files)[:LOOKED_AT] if len(files) > MANY else _largest(files)
    return sorted(few)


def _largest(files: Iterable[Path]) -> list[Path]:
    return sorted(filter(Path.is_file, files), key=lambda path: -path.stat().st_size)[:LOOKED_AT]


def read_lines(path: Path) -> list[str]:
    """The lines of a text file; ValueError that names a file that is not UTF-8."""
    try:
        return path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}. Save it as UTF-8.") from error


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of a picture after its EXIF orientation, read from its header."""
    with Image.open(path) as picture:
        width, height = picture.size
    return (width, height) if orientation(path) > 4 else (height, width)


class ImageFiles:
    """The image files below a folder, found by the names that annotation files write."""

    def __init__(self, root: Path):
        self.root = root
        self._files: tuple[dict[str, list[Path]], dict[str, list[Path]]] | None = None

    def find(self, item: AnnotatedImage, split: str) -> Path | None:
        """The image file of a name, which may be a path of another machine; None for none.

        Raises: ValueError where several files may be meant.
        """
        name = plain(item.file_name.replace("\\", "/"))
        near = item.source.parent
        folders = [near, near / "images", *self._split_folders(split), self.root]
        for folder in (*folders, self.root / "images"):
            path = folder / name
            if name and path.is_file():
                return path
        return self._by_names(name, split, item)

    def _by_names(self, name: str, split: str, item: AnnotatedImage) -> Path | None:
        """The file of a name, of an address, or of a name from before the upload."""
        path = PurePosixPath(address_path(name))
        original = UPLOAD_PREFIX.sub("", path.name)
        for parts in (PurePosixPath(name).parts, path.parts, (*path.parts[:-1], original)):
            image = self._by_parts(parts, split, item)
            if image is not None:
                return image
        return None

    def _split_folders(self, split: str) -> list[Path]:
        names = SPLIT_NAMES.get(split, (split,))
        parents = (self.root, self.root / "images")
        return [parent / name for parent in parents for name in names]

    def _by_parts(self, parts: tuple[str, ...], split: str, item: AnnotatedImage) -> Path | None:
        """The file whose path shares the most trailing parts with these."""
        if not parts:
            return None
        if self._files is None:
            self._files = self._listed()
        by_name, by_stem = self._files
        last = parts[-1].casefold()
        # lists of Pascal VOC name images without their ending
        candidates = by_name.get(last) or by_stem.get(last, [])
        shared = [_shared_end(path.relative_to(self.root).parts, parts) for path in candidates]
        best = [p for p, n in zip(candidates, shared, strict=True) if n == max(shared)]
        of_split = [p for p in best if any(split_in(f) == split for f in p.parent.parts[-3:])]
        best = of_split or best
        if len(best) > 1:
            raise ValueError(
                f"{item}: several files may be this image: {best[0]} and {best[1]}. Write the "
                "folder into the name, or rename one of them."
            )
        return best[0] if best else None

    def _listed(self) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
        """Image files by their names, and by their names without endings."""
        by_name, by_stem = defaultdict(list), defaultdict(list)
        for path in sorted(self.root.rglob("*")):
            folders = path.relative_to(self.root).parts[:-1]
            if path.suffix.lower() in IMAGE_SUFFIXES and not set(folders) & set(MASK_FOLDERS):
                by_name[plain(path.name).casefold()].append(path)
                by_stem[plain(path.stem).casefold()].append(path)
        return by_name, by_stem


def address_path(text: str) -> str:
    """The path in an address, such as "s3://bucket/a.png" or "/data/local-files/?d=a.png"."""
    address = urlsplit(text)
    return unquote(parse_qs(address.query).get("d", [address.path])[0])


def _shared_end(parts: Sequence[str], wanted: Sequence[str]) -> int:
    """Number of folders directly above the file that both paths share."""
    number = 0
    for one, other in zip(reversed(parts[:-1]), reversed(wanted[:-1]), strict=False):
        if plain(one).casefold() != other.casefold():
            break
        number += 1
    return number
