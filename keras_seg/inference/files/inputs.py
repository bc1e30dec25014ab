"""The inputs of `keras-seg predict`: files, folders, patterns, videos, cameras, object stores."""

from __future__ import annotations

import glob
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple, cast

from keras_seg.data.folder.pictures import IMAGE_FOLDERS, MASK_FOLDERS
from keras_seg.data.reading.arrays import ARRAY_SUFFIX, TIFF_SUFFIXES
from keras_seg.names import nearest_path_hint
from keras_seg.storage import RemotePath, as_path, is_url

PICTURE_SUFFIXES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".webp",
    ".gif",
    ".ppm",
    ".pgm",
    ".pbm",
    ".jp2",
)
IMAGE_SUFFIXES = {*PICTURE_SUFFIXES, *TIFF_SUFFIXES, ARRAY_SUFFIX}
"""Suffixes of the files in a folder that are images."""
VIDEO_SUFFIXES = {".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"}
CAMERA = "camera:"
MASK_BESIDE = "_mask"
"""What is after the stem of an image in the name of its mask, as Roboflow writes both."""


class Input(NamedTuple):
    """One image, video or camera.

    Attributes:
        kind: "image", "video" or "camera".
        path: the file, or camera:N. The path of a file in an object store is a `RemotePath`.
        name: path of its predictions below the output folder, without suffix.
    """

    kind: str
    path: Path
    name: str


def find_inputs(given: Iterable[str | Path | Input]) -> list[Input]:
    """Files, folders with their subfolders, patterns and cameras as inputs, each file once.

    An `Input` is returned as it is.

    Raises: ValueError for a pattern without a match, a folder without images, or a pipe.
    """
    unique: dict[Path, Input] = {}
    for each in given:
        for source in [each] if isinstance(each, Input) else _inputs_of(str(each)):
            unique.setdefault(_identity(source), source)
    return list(unique.values())


def check_inputs(given: Iterable[str | Path]) -> None:
    """Checks the inputs before a model is loaded; object stores are listed later, once.

    Raises: FileNotFoundError if none of them exists; ValueError as `find_inputs`.
    """
    sources = find_inputs(each for each in given if not is_url(each))
    if sources and not any(each.kind == "camera" or each.path.exists() for each in sources):
        first = sources[0].path
        what = "file" if first.suffix else "file or folder"
        hint = nearest_path_hint(first)
        raise FileNotFoundError(
            f"There is no {what} {first}.{hint} Give images, videos, or a folder of them."
        )


def without_masks_beside(
    sources: Sequence[Input], given: Iterable[str | Path | Input]
) -> list[Input]:
    """The inputs without the masks of a folder that holds `X_mask.png` beside the image `X`.

    Files that were given by their names or by a pattern stay.

    Warns: UserWarning with the number of masks and an example.
    """
    paths = [as_path(each) for each in given if not isinstance(each, Input)]
    folders = [path for path in paths if path.is_dir()]
    images = {source.path.with_suffix("") for source in sources}

    def is_mask(path: Path) -> bool:
        image = path.with_name(path.stem.removesuffix(MASK_BESIDE))
        below = any(path.is_relative_to(folder) for folder in folders)
        return below and path.stem.endswith(MASK_BESIDE) and image in images

    masks = [source.path for source in sources if is_mask(source.path)]
    if masks:
        warnings.warn(
            f"{len(masks)} masks beside their images are left out, for example {masks[0]}. Give "
            "them by name if they are images.",
            stacklevel=2,
        )
    return [source for source in sources if not is_mask(source.path)]


def _identity(source: Input) -> Path:
    return source.path if source.kind == "camera" else source.path.resolve()


def _inputs_of(text: str) -> list[Input]:
    path = as_path(text)
    if isinstance(path, RemotePath):
        return _remote_inputs(path)
    if text.startswith(CAMERA):
        if not text.removeprefix(CAMERA).isdigit():
            raise ValueError(f"A camera is camera:0, camera:1, ... Received: {text!r}")
        return [Input("camera", path, text.replace(":", ""))]
    if path.is_dir():
        return _inputs_in_folder(path)
    if path.exists() and not path.is_file():  # opening a pipe would wait for its other end
        raise ValueError(f"{text} is a pipe or a device. Give a file or a folder.")
    if path.exists() or not glob.has_magic(text):
        return [_file_input(path, path.stem)]  # reading it reports a missing file
    matches = sorted(Path(match) for match in glob.iglob(text, recursive=True))  # noqa: PTH207 (absolute ones, too)
    files = [match for match in matches if match.is_file()]
    if not files:
        raise ValueError(f"No file matches {text!r}. Check the pattern and the folder.")
    return [_file_input(file, file.stem) for file in files]


def _inputs_in_folder(folder: Path) -> list[Input]:
    _check_no_masks(folder)
    files = [
        path
        for path in sorted(folder.rglob("*"))
        if _is_shown(path.relative_to(folder)) and path.is_file()
    ]
    if not files:
        raise _no_images(folder)
    return [_file_input(path, str(path.relative_to(folder).with_suffix(""))) for path in files]


def _is_shown(below: PurePath) -> bool:
    """Whether a file of a folder is an image or a video, and neither hidden nor in a hidden one."""
    known = below.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES
    return known and not any(part.startswith(".") for part in below.parts)


def _no_images(folder: Path | RemotePath) -> ValueError:
    known = ", ".join(sorted(IMAGE_SUFFIXES | VIDEO_SUFFIXES))
    return ValueError(
        f"{folder} holds no images or videos. Known suffixes are {known}. Give other files one by "
        "one or as a pattern."
    )


def _remote_inputs(path: RemotePath) -> list[Input]:
    """The inputs of a file, a folder or a pattern of an object store."""
    if path.is_file():
        return [_file_input(path, path.stem)]
    if glob.has_magic(str(path)):
        files = path.matches()
        if not files:
            raise ValueError(f"No file matches {str(path)!r}. Check the pattern and the folder.")
        return [_file_input(file, file.stem) for file in files]
    below = {file.relative_to(path): file for file in path.files()}
    if not below:
        raise FileNotFoundError(f"There is no file or folder {path}.")
    shown = {place: file for place, file in below.items() if _is_shown(place)}
    if not shown:
        raise _no_images(path)
    top = {place.parts[0].lower(): place.parts[0] for place in shown if len(place.parts) > 1}
    _check_no_data_set(path, top, lambda name: True)
    return [_file_input(file, str(place.with_suffix(""))) for place, file in shown.items()]


def _check_no_masks(folder: Path) -> None:
    """Raises ValueError for the folder of a data set, whose masks are no images to predict."""
    inside = {path.name.lower(): path.name for path in sorted(folder.iterdir()) if path.is_dir()}
    _check_no_data_set(
        folder,
        inside,
        lambda name: any(
            each.suffix.lower() in IMAGE_SUFFIXES for each in (folder / name).rglob("*")
        ),
    )


def _check_no_data_set(
    folder: Path | RemotePath, inside: Mapping[str, str], has_images: Callable[[str], bool]
) -> None:
    """Raises ValueError if the folders in a folder hold images and masks.

    Args:
        inside: name of a folder in lower case → its name.
        has_images: whether the folder with a name holds images.
    """
    images = [inside[name] for name in IMAGE_FOLDERS if name in inside]
    masks = [inside[name] for name in MASK_FOLDERS if name in inside and has_images(inside[name])]
    if images and masks:
        raise ValueError(
            f"{folder} is a data set: its folder {masks[0]} holds masks. Pass the images: "
            f"{folder / images[0]}"
        )


def _file_input(path: Path | RemotePath, name: str) -> Input:
    # a RemotePath has what the planning of a prediction needs of a Path
    local = cast(Path, path)
    return Input("video" if path.suffix.lower() in VIDEO_SUFFIXES else "image", local, name)
