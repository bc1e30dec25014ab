"""Multi-label masks as one file per label, such as `masks/roof/X.png` or `masks/X_roof.png`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_seg.data.folder.pairs import Pair, size_text
from keras_seg.data.folder.scan import MASK_SUFFIXES, FolderScan
from keras_seg.data.mask_values.counts import count_labels
from keras_seg.data.mask_values.pixels import ValuesOutside
from keras_seg.data.reading.masks import read_mask
from keras_seg.names import IGNORE_CLASS

NAMED = 3
"""Number of names that a message lists."""


@dataclass(frozen=True)
class LabelFiles:
    """The mask files of one image.

    Attributes:
        stem: name of the image without suffix.
        files: the file of each label; None for a label that the image does not show.
    """

    stem: str
    files: tuple[Path | None, ...]

    def __str__(self) -> str:
        return " + ".join(str(path) for path in self.files if path is not None)


def label_folders(masks: Path) -> list[str]:
    """The names of the sub-folders of `masks/`, one per label; [] if there are mask files."""
    if not masks.is_dir():
        return []
    entries = [path for path in sorted(masks.iterdir()) if not path.name.startswith(".")]
    if any(path.suffix.lower() in MASK_SUFFIXES for path in entries if path.is_file()):
        return []
    return [path.name for path in entries if path.is_dir()]


def pairs_of_label_files(scan: FolderScan, names: Sequence[str], *, strict: bool) -> list[Pair]:
    """The images of a split with their files per label; [] if masks are not written that way.

    Args:
        scan: the files of the split.
        names: the labels, in the order of the channels.
        strict: whether an image without any file is an error; if not, it is left out.

    Raises: FileNotFoundError for images without any file; ValueError for folders that are not
        labels.
    """
    masks = scan.folders["masks"]
    folders = label_folders(masks)
    if folders:
        unknown = sorted(set(folders) - set(names))
        if unknown:
            raise ValueError(
                f"{masks} has the sub-folders {unknown[:NAMED]}, which are not labels. Known: "
                f"{', '.join(names)}. Name each sub-folder after its label, or add the labels to "
                "classes.json."
            )
        found = {name: _by_stem(masks / name) for name in names}
    else:
        found = {name: _with_ending(scan, name) for name in names}
        if not any(found.values()):
            return []
    files = {
        stem: LabelFiles(stem, tuple(found[name].get(stem) for name in names))
        for stem in scan.stems
        if stem in scan.images
    }
    without = [stem for stem, each in files.items() if not any(each.files)]
    if without and (strict or len(without) == len(files)):
        raise FileNotFoundError(
            f"{len(without)} of {len(files)} images in {scan.folders['images']} have no mask file "
            f"of any label, for example {without[:NAMED]}. An image that shows no label needs one "
            f"file of 0, such as {masks / names[0]}/{without[0]}.png."
        )
    return [Pair(scan.images[s], each) for s, each in files.items() if any(each.files)]


def read_label_files(source: LabelFiles, values: tuple[int, ...] = ()) -> np.ndarray:
    """The mask of an image from one file per label.

    A file holds 0 where the label is absent, and 1 (or only 0 and 255: then 255) where it is
    present. In a file of 0, 1 and 255, 255 is unknown. A label without a file is absent.

    Args:
        source: the files.
        values: the values of absent and present, if they are others; () for none.

    Returns: (height, width, labels) uint8 of 0, 1 and 255.

    Raises: ValuesOutside for other values; ValueError for files of different sizes.
    """
    planes = {path: _plane(path, values) for path in source.files if path is not None}
    (first, example), *others = planes.items()
    for path, plane in others:
        if plane.shape != example.shape:
            raise ValueError(
                f"The masks of one image differ in size: {first} is {size_text(example)}, {path} "
                f"is {size_text(plane)} (width x height). Export them again."
            )
    absent = np.zeros(example.shape, np.uint8)
    return np.stack([absent if path is None else planes[path] for path in source.files], -1)


def _plane(path: Path, values: tuple[int, ...]) -> np.ndarray:
    """(H, W) uint8 of 0, 1 and 255."""
    mask = read_mask(path)
    held = set(count_labels(mask))
    if not values:
        values = (0, IGNORE_CLASS) if held <= {0, IGNORE_CLASS} else (0, 1)
    if not held <= {*values, IGNORE_CLASS}:
        raise ValuesOutside(
            f"{path} holds the values {sorted(held)[:8]}; the mask of one label holds {values[0]} "
            f"where it is absent and {values[1]} where it is present. Convert the mask, or write "
            'both values to classes.json: "values": [absent, present].'
        )
    unknown = np.where(mask == IGNORE_CLASS, IGNORE_CLASS, 0)
    return np.where(mask == values[1], 1, unknown).astype(np.uint8)


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        return {}
    return {p.stem: p for p in sorted(folder.iterdir()) if p.suffix.lower() in MASK_SUFFIXES}


def _with_ending(scan: FolderScan, name: str) -> dict[str, Path]:
    """Stem of an image → its file of a label, X_NAME.png or X_NAME_mask.png."""
    endings = (f"_{name}", f"_{name}_mask")
    files = {}
    for path in _by_stem(scan.folders["masks"]).values():
        for ending in endings:
            stem = path.stem.removesuffix(ending)
            if stem != path.stem and stem in scan.images:
                files[stem] = path
    return files
