"""What a layout says of a folder, and the steps that several layouts share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.pairs import Pair, ValueMap
from keras_seg.data.reading.masks import read_mask
from keras_seg.names import unknown_name


@dataclass(frozen=True)
class Layout:
    """One split of a data set in its official layout; fields as PairedDataset's arguments."""

    pairs: Sequence[Pair]
    classes: ClassTable
    read_truth: Callable = read_mask
    names: Sequence[str] | None = None
    resize_images: bool = False


def mapped_reader(values: dict[int, int]) -> Callable:
    """A reader of index masks whose file values are renumbered as `values` says."""
    value_map = ValueMap(values)
    return lambda path: value_map(read_mask(path), path)


def choose_split(split: str, splits: Iterable[str], layout: str) -> str:
    """The split itself; ValueError that lists the splits of the layout if it has no such one."""
    if split not in splits:
        raise ValueError(unknown_name(f"split of {layout}", split, splits))
    return split


def first_folder(root: Path, *candidates: str, layout: str) -> Path:
    """The first of the sub-folders that exists.

    Raises: FileNotFoundError that lists what was looked for.
    """
    for candidate in candidates:
        if (root / candidate).is_dir():
            return root / candidate
    raise FileNotFoundError(
        f"{root} has not the layout of {layout}: there is none of {', '.join(candidates)} in it. "
        "Pass the folder that the official archive unpacks to."
    )


def stems_in(file: Path, layout: str) -> list[str]:
    """The stems that a list file names, one a line, by themselves or as paths."""
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no split file {file}, which is part of {layout}. Unpack the whole archive."
        )
    lines = (line.strip() for line in file.read_text().splitlines())
    return [Path(line.split()[0]).stem for line in lines if line]


def pair_up(
    images: Iterable[tuple[str, Path]], mask_of: Callable[[str], Path], layout: str
) -> list[Pair]:
    """Pairs of (key, image file) with `mask_of(key)`, sorted by key.

    Raises: FileNotFoundError if there is no image, or an image or mask file is missing.
    """
    pairs = [Pair(image, mask_of(key)) for key, image in sorted(images)]
    if not pairs:
        raise FileNotFoundError(f"No images of {layout} were found. Unpack the whole archive.")
    missing = [path for pair in pairs for path in pair if not path.exists()]
    if missing:
        raise FileNotFoundError(
            f"{len(missing)} files of {layout} are missing, for example {missing[0]}. Unpack the "
            "archive again."
        )
    return pairs


def files_of(folder: Path, pattern: str = "*.jpg") -> list[tuple[str, Path]]:
    """(stem, file) of the files of one folder."""
    return [(path.stem, path) for path in folder.glob(pattern)]
