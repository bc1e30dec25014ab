"""Finds the image files of an export by the names that its annotation files write."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
from PIL import Image

from keras_seg.data.annotations.annotated_image import SPLIT_NAMES, AnnotatedImage, plain, split_in
from keras_seg.data.folder.pictures import IMAGE_SUFFIXES
from keras_seg.data.reading.images import orientation

MASK_FOLDERS = re.compile(r"^(masks|ann|panoptic\w*|Segmentation(Class|Object)\w*)$")
UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the names of files that are uploaded."""


TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    5: lambda pixels: np.swapaxes(pixels, 0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.swapaxes(np.rot90(pixels, 2), 0, 1),
    8: lambda pixels: np.rot90(pixels, 1),
}
"""EXIF orientation → function that turns stored pixels upright, where it swaps the sides."""


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of a picture after its EXIF orientation, read from its header."""
    with Image.open(path) as picture:
        width, height = picture.size
    return (width, height) if orientation(path) > 4 else (height, width)


def turn_to_upright(size: tuple[int, int], path: Path) -> Callable | None:
    """How to turn a mask that was drawn on the pixels as they are stored; None for no turn.

    Args:
        size: (height, width) of the mask. It shows on which pixels the mask was drawn, because
            these orientations swap height and width.
        path: the image.

    Returns: (height, width, ...) → (width, height, ...).
    """
    turned = orientation(path)
    if turned <= 4:
        return None
    upright = image_size(path)
    return TURNS[turned] if size != upright and size[::-1] == upright else None


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
            if path.suffix.lower() in IMAGE_SUFFIXES and not any(map(MASK_FOLDERS.match, folders)):
                by_name[plain(path.name).casefold()].append(path)
                by_stem[plain(path.stem).casefold()].append(path)
                uploaded = upload_name(path.name).casefold()
                if path not in by_name[uploaded]:
                    by_name[uploaded].append(path)
        return by_name, by_stem


def upload_name(name: str) -> str:
    """A file name as Label Studio writes it after an upload: "_" for a space, no brackets."""
    return re.sub(r"[^-\w.]", "", plain(name).replace(" ", "_"))


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
