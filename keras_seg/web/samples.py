"""The sample images of a page, from files, folders and data sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from keras_seg.card import ModelCard
from keras_seg.data.as_dataset import images_of_folder
from keras_seg.data.open_by_name import open_dataset
from keras_seg.data.reading.images import read_image
from keras_seg.inference.evaluation import evenly_spread

MOST = 8
"""Number of samples from one folder or data set, evenly spread."""
LONGEST = 2048
"""Longer side of a sample in pixels. Larger images are made smaller."""
JPEGS = (".jpg", ".jpeg")
QUALITY = 95

Source = str | Path


def write_samples(sources: Sequence[Source], folder: Path, card: ModelCard) -> list[str]:
    """Writes the samples into a folder of their own.

    Args:
        sources: image files, folders of images, and data sets, of which the validation images are
            taken.
        folder: folder of the page.
        card: card of the model, which has the range of images of more than 8 bits.

    Returns: paths relative to the page. Nothing else of the files is copied, such as the place
        where a photo was taken.

    Raises: ValueError for what is not an image or a data set.
    """
    written: list[str] = []
    for pixels, is_photo in _images(sources, card):
        path = f"samples/{len(written) + 1}.{'jpg' if is_photo else 'png'}"
        (folder / "samples").mkdir(exist_ok=True)
        picture = Image.fromarray(np.ascontiguousarray(pixels))
        picture.thumbnail((LONGEST, LONGEST))
        # PNG files ignore the options of JPEG
        picture.save(folder / path, quality=QUALITY, subsampling=0)
        written.append(path)
    return written


def _images(sources: Sequence[Source], card: ModelCard) -> Iterator[tuple[np.ndarray, bool]]:
    """(H, W, 3) uint8 pixels, and whether they come from a JPEG file."""
    for source in sources:
        path = Path(source)
        files = [path] if path.is_file() else images_of_folder(path)
        if files:
            for index in evenly_spread(len(files), MOST):
                file = files[index]
                pixels = read_image(file, 3, value_range=card.value_range, nodata=card.nodata)
                yield pixels, file.suffix.lower() in JPEGS
            continue
        if not path.exists() and ":" not in str(source):
            raise ValueError(f"There is no sample {source}. Give image files or folders.")
        dataset = open_dataset(str(source), "val", value_range=card.value_range, nodata=card.nodata)
        for index in evenly_spread(len(dataset), MOST):
            yield dataset[index].image, False
