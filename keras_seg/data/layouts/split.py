"""One split of a data set in an official layout, and the steps that layouts share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_seg.data.classes import ClassTable
from keras_seg.data.folder.pairs import Pair, ReadPixels, ValueMap
from keras_seg.data.reading.images import read_image_and_known
from keras_seg.data.reading.masks import read_mask
from keras_seg.names import unknown_name


@dataclass(frozen=True)
class LayoutSplit:
    """The files and classes of one split, for `PairedDataset`.

    Attributes:
        pairs: image file and label file of each sample.
        classes: the class table.
        read_truth: function of a label file that returns the mask (H, W), or (mask, instances).
        names: names of the samples; None for the names of the image files.
        resize_images: whether images are resized to their masks.
        read_pixels: reads an image file, as `read_image_and_known`.
        reading: how the files are read, in words.
    """

    pairs: Sequence[Pair]
    classes: ClassTable
    read_truth: Callable = read_mask
    names: Sequence[str] | None = None
    resize_images: bool = False
    read_pixels: ReadPixels = read_image_and_known
    reading: str = ""


def mapped_reader(values: dict[int, int]) -> Callable:
    """Returns a reader of masks that maps file values to classes; 255 means unknown."""
    value_map = ValueMap(values)
    return lambda path: value_map(read_mask(path), path)


def choose_split(split: str, splits: Iterable[str], layout: str) -> str:
    """Returns the split.

    Raises: ValueError that lists the splits of the layout, if it lacks this one.
    """
    if split not in splits:
        raise ValueError(unknown_name(f"split of {layout}", split, splits))
    return split


def first_folder(root: Path, *candidates: str, layout: str) -> Path:
    """Returns the first sub-folder that exists.

    Raises: FileNotFoundError that lists the candidates.
    """
    for candidate in candidates:
        if (root / candidate).is_dir():
            return root / candidate
    raise FileNotFoundError(
        f"{root} does not have the layout of {layout}: there is none of {', '.join(candidates)} in "
        "it. Pass the folder that the official archive unpacks to."
    )


def stems_in(file: Path, layout: str) -> list[str]:
    """The file stems in a list file: one name or path per line."""
    if not file.is_file():
        raise FileNotFoundError(
            f"There is no split file {file}, which is part of {layout}. Unpack the whole archive."
        )
    lines = (line.strip() for line in file.read_text().splitlines())
    return [Path(line.split()[0]).stem for line in lines if line]


def pair_up(
    images: Iterable[tuple[str, Path]], mask_of: Callable[[str], Path], layout: str
) -> list[Pair]:
    """Pairs images with their masks, sorted by key.

    Args:
        images: (key, image file) of each sample.
        mask_of: returns the label file for a key.
        layout: name of the layout, for messages.

    Raises: FileNotFoundError if there is no image, or if a file is missing.
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
    """The files in a folder as (stem, file)."""
    return [(path.stem, path) for path in folder.glob(pattern)]
