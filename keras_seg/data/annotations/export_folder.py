"""What the readers of annotation exports share: one split of a folder, and reading its files."""

from __future__ import annotations

import itertools
import json
import warnings
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import UnidentifiedImageError

from keras_seg.data.annotations.annotated_image import SPLIT_NAMES, AnnotatedImage, Parts, plain
from keras_seg.data.annotations.image_files import ImageFiles, turn_to_upright
from keras_seg.data.annotations.shapes import Drawing
from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.pairs import Pair, ReadPixels
from keras_seg.data.folder.split_lists import divided_stems, split_source
from keras_seg.data.layouts.split import LayoutSplit
from keras_seg.data.mask_values.pixels import ValuesOutside
from keras_seg.data.reading.images import read_image_and_known
from keras_seg.names import unknown_name

Truth = Drawing | np.ndarray | tuple[np.ndarray, np.ndarray]
"""What a reader makes of an annotation: shapes, a mask, or a mask and its instances."""
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
LISTED = 3
"""Number of names that a message shows."""
LOOKED_AT = 20
"""Number of files of a folder by which an export is recognised."""


def layout_of(
    root: Path,
    split: str,
    parts: Parts,
    classes: ClassTable,
    read_truth: Callable[[AnnotatedImage, Path], Truth],
    *,
    tool: str,
    strict: bool,
    read_pixels: ReadPixels = read_image_and_known,
) -> LayoutSplit:
    """One split of an export.

    Args:
        read_truth: (annotated image, image file) → `Drawing`, mask, or (mask, instances).
        tool: name of the format, for messages.
        strict: whether a missing image file is an error. Otherwise the image is left out, with a
            warning.
        read_pixels: reads an image file, as `read_image_and_known`.

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

    def read(item: AnnotatedImage) -> Truth:
        try:
            return _upright(read_truth(item, images[id(item)]), images[id(item)])
        except UNREADABLE as error:
            if isinstance(error, ValuesOutside):  # names the file, and what to write
                raise
            told = str(error) if isinstance(error, ValueError) else repr(error)
            raise ValueError(
                f"{item} has an annotation that cannot be read: {told.rstrip('.')}."
            ) from error

    images = {id(item): path for item, path in kept}
    stems = [path.stem for _, path in kept]
    if len(set(stems)) < len(stems):
        stems = [f"{path.parent.name}/{path.stem}" for _, path in kept]
    return LayoutSplit(
        [Pair(path, item) for item, path in kept],
        classes,
        read,
        names=stems,
        read_pixels=read_pixels,
        reading=f"read as an export of {tool}; {_division(root, split, parts, chosen)}.",
    )


def _division(root: Path, split: str, parts: Parts, chosen: Sequence[AnnotatedImage]) -> str:
    """What divides the images of an export into splits, in words."""
    if len(chosen) == len(parts.get(split, ())):
        return f"{len(chosen)} images of its split {split!r}"
    undivided = [*parts.get("train", ()), *parts.get("", ())]
    stems = sorted({_stem_of(item) for item in undivided})
    return split_source(root, split, stems, exported=True)


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
    stems = {_stem_of(item): item for item in undivided}
    if len(stems) < len(undivided):
        stems = {str(number): item for number, item in enumerate(undivided)}
    chosen = [
        stems[s] for s in divided_stems(root, split, sorted(stems), exported=True) if s in stems
    ]
    if not chosen:
        raise ValueError(
            f"The split {split!r} of {root} is empty: {len(undivided)} annotated images are there "
            'in all. Add images, or list the splits in splits.json: {"train": ["a"], "val": ["b"]}.'
        )
    return chosen


def _stem_of(item: AnnotatedImage) -> str:
    return PurePosixPath(item.file_name.replace("\\", "/")).stem


def _check_once(root: Path, items: Sequence[AnnotatedImage], tool: str) -> None:
    """Refuses an image that is listed twice: it could train and validate."""
    names = [item.image or item.source.parent / plain(item.file_name) for item in items]
    twice = _first_twice(sorted(names))
    if twice is not None:
        raise ValueError(
            f"{tool} in {root} names the image {twice} twice. Merge its annotations, or export "
            "again."
        )


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
        raise ValueError(f"{path} is not a JSON file: {error}. Export it again.") from error


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


def _upright(truth: Truth, path: Path) -> Truth:
    """The truth as seen in the upright image, if it was drawn on the pixels as they are stored."""
    match truth:
        case Drawing():
            turn = turn_to_upright(truth.size, path)
            return truth if turn is None else truth.turned(turn)
        case (mask, instances):
            turn = turn_to_upright(mask.shape[:2], path)
            return truth if turn is None else (turn(mask), turn(instances))
    turn = turn_to_upright(truth.shape[:2], path)
    return truth if turn is None else turn(truth)
