"""Checks of the values of image files: the range, and pixels that seem to hold no data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.folder.pairs import PairedDataset
from keras_seg.data.reading.arrays import TIFF_SUFFIXES
from keras_seg.data.reading.images import UNREADABLE, read_stored, stored_pixels
from keras_seg.data.reading.nodata import suspected_nodata
from keras_seg.data.reading.ranges import range_text
from keras_seg.data.verify.report import Problem
from keras_seg.names import IGNORE_CLASS

NARROW, CLIPPED = 2, 0.95
"""Signs of a wrong "range": an image spans this many of 255 levels, or has this share outside."""
LOSSY = (".jpg", ".jpeg", ".webp")
"""Files of 8 bits whose compression changes values."""
CHECKED = 20
"""Number of images of a split whose values are looked at."""


def no_data_warnings(dataset: SegmentationDataset, split: str) -> list[Problem]:
    """A value that seems to mean "no data", such as -9999, in pixels that have a class."""
    message = unknown_nodata(dataset)
    return [] if message is None else [Problem("no data", split, message)]


def unknown_nodata(dataset: SegmentationDataset) -> str | None:
    """A message about a value that seems to mean "no data", and that nothing states; or None.

    Images of 8 bits are looked at only if they are TIFF files: black corners of a photograph are
    black.
    """
    if not isinstance(dataset, PairedDataset):
        return None
    for index in _spread(len(dataset)):
        path = dataset.pairs[index].image
        if path.suffix.lower() in LOSSY:
            continue
        try:
            pixels, known = read_stored(path, dataset.channels, nodata=dataset.nodata)
            if pixels.dtype == np.uint8 and path.suffix.lower() not in TIFF_SUFFIXES:
                continue
        except UNREADABLE:  # reading the sample reports it
            continue
        labelled = _labelled(dataset, index, pixels.shape[:2])
        if labelled.shape != pixels.shape[:2]:
            continue
        suspicion = suspected_nodata(pixels, labelled if known is None else known & labelled)
        if suspicion is not None:
            value = f"{suspicion.value}"
            return (
                f"{path} holds {value} in {suspicion.share:.1%} of the pixels, "
                f"{suspicion.reason}. These pixels count in the loss and in a measured range. If "
                f'the value means that there are no data, write "nodata": {value} to classes.json, '
                f"or pass --nodata {value} to keras-seg train."
            )
    return None


def _labelled(dataset: PairedDataset, index: int, size: tuple[int, int]) -> np.ndarray:
    """Where the mask of a sample has a class, or any label is known.

    Everywhere if the sample cannot be read.
    """
    try:
        labelled = dataset[index].mask != IGNORE_CLASS
        return labelled.any(axis=-1) if dataset.multi_label else labelled
    except UNREADABLE:  # for example because no range is stated yet
        return np.ones(size, bool)


def range_line(dataset: SegmentationDataset) -> str | None:
    """How images of more than 8 bits are mapped, for the first lines of a training; or None."""
    value_range = dataset.value_range
    if value_range is None:
        return None
    how = "stated"
    if isinstance(dataset, PairedDataset) and dataset.range_is_measured:
        how = "measured in the training images"
    bands = " in the order of the bands" if np.ndim(value_range) == 2 else ""
    return (
        f"Images of more than 8 bits: {range_text(value_range)} become 0 to 255{bands} ({how}). "
        "The model's files record it."
    )


def range_errors(dataset: SegmentationDataset, split: str) -> list[Problem]:
    """A "range" with which every image becomes black, white or one value."""
    value_range = dataset.value_range
    if value_range is None or not isinstance(dataset, PairedDataset):
        return []
    limits = np.array(value_range).reshape(-1, 2)
    flat, lows, highs = [], [], []
    for index in _spread(len(dataset)):
        try:
            stored, mapped = stored_pixels(dataset.pairs[index].image), dataset[index].image
        except UNREADABLE:
            continue
        stored = stored[np.isfinite(stored)] if stored.dtype.kind == "f" else stored
        if stored.dtype == np.uint8 or not stored.size or stored.min() == stored.max():
            continue  # the range does not apply to 8 bits
        outside = ((stored < limits[:, 0].min()) | (stored > limits[:, 1].max())).mean()
        flat.append(int(mapped.max()) - int(mapped.min()) <= NARROW or outside >= CLIPPED)
        lows.append(stored.min())
        highs.append(stored.max())
    if not flat or not all(flat):
        return []
    message = (
        f'The "range" {_listed(value_range)} of classes.json leaves nothing of the images, which '
        f"hold {min(lows):g} to {max(highs):g}: they become black and white, or nearly one value. "
        "Write the values that are black and white in the whole data set, for example "
        f'"range": [{min(lows):g}, {max(highs):g}], or "range": "auto", which measures it per band.'
    )
    return [Problem("range", split, message)]


def _spread(length: int) -> range:
    """Indices of about CHECKED images."""
    return range(0, length, max(1, length // CHECKED))


def _listed(value_range: Sequence) -> str:
    pairs = [f"[{low:g}, {high:g}]" for low, high in np.array(value_range).reshape(-1, 2)]
    return pairs[0] if np.ndim(value_range) == 1 else f"[{', '.join(pairs)}]"
