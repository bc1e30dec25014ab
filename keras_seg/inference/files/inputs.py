"""What `keras-seg predict` is given: files, folders, patterns, videos, cameras."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from keras_seg.data.reading.arrays import ARRAY_SUFFIX, TIFF_SUFFIXES

IMAGE_SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".pbm", ".jp2"),
    *TIFF_SUFFIXES,
    ARRAY_SUFFIX,
}
"""Files of a folder that are taken for images."""
VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"}
CAMERA = "camera:"


class Source(NamedTuple):
    """One image, video or camera.

    kind: "image", "video" or "camera". path: the file, or camera:N.
    name: what its predictions are called, without suffix; a path below the output folder.
    """

    kind: str
    path: Path
    name: str


def expand(inputs: Iterable[str | Path]) -> list[Source]:
    """Files as they are, folders with their subfolders, patterns, camera:0; each file once.

    Raises: ValueError for a pattern that nothing matches, a folder without images, or a pipe.
    """
    found: dict[Path, Source] = {}
    for given in map(str, inputs):
        for source in _expanded(given):
            found.setdefault(_identity(source), source)
    return list(found.values())


def _identity(source: Source) -> Path:
    return source.path if source.kind == "camera" else source.path.resolve()


def _expanded(given: str) -> list[Source]:
    path = Path(given)
    if given.startswith(CAMERA):
        if not given.removeprefix(CAMERA).isdigit():
            raise ValueError(f"A camera is camera:0, camera:1, ... Received: {given!r}")
        return [Source("camera", path, given.replace(":", ""))]
    if path.is_dir():
        return _in_folder(path)
    if path.exists() and not path.is_file():  # opening a pipe waits for its other end
        raise ValueError(f"{given} is a pipe or a device. Give a file or a folder.")
    if path.exists() or not glob.has_magic(given):
        return [_source(path, path.stem)]  # a missing file is named when it is read
    matches = sorted(Path(match) for match in glob.iglob(given, recursive=True))  # noqa: PTH207 (absolute ones, too)
    files = [match for match in matches if match.is_file()]
    if not files:
        raise ValueError(f"No file matches {given!r}. Check the pattern and the folder.")
    return [_source(file, file.stem) for file in files]


def _in_folder(folder: Path) -> list[Source]:
    known = IMAGE_SUFFIXES | VIDEO_SUFFIXES
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in known
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]
    if not files:
        raise ValueError(
            f"{folder} holds no images or videos. Known are {', '.join(sorted(known))}; "
            "give files of other names one by one or as a pattern."
        )
    return [_source(path, str(path.relative_to(folder).with_suffix(""))) for path in files]


def _source(path: Path, name: str) -> Source:
    return Source("video" if path.suffix.lower() in VIDEO_SUFFIXES else "image", path, name)
