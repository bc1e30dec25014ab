"""Black and white of image files, measured in their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_seg.data.reading.images import UNREADABLE, read_stored
from keras_seg.data.reading.ranges import MEASURED_PIXELS, ValueRange, measured_range

MEASURED_IMAGES = 64
"""Largest number of images in which a range is measured."""


def range_of_files(
    paths: Sequence[Path], channels: int, nodata: float | None = None
) -> ValueRange | None:
    """The range of image files per band, by percentiles of the pixels that hold data.

    Up to 64 files, spread evenly, are read. 8-bit files are left out, since they are not mapped.

    Args:
        channels: number of channels of the images.
        nodata: value that means "no data", besides that in the files.

    Returns: one pair per band; None if no file has more than 8 bits.

    Raises: ValueError if the files differ in their number of bands.
    """
    samples: dict[int, list[np.ndarray]] = {}
    step = max(1, -(-len(paths) // MEASURED_IMAGES))
    for path in paths[::step]:
        try:
            pixels, known = read_stored(path, channels, nodata=nodata)
        except UNREADABLE:  # reading the sample reports it
            continue
        if pixels.dtype == np.uint8:
            continue
        values = pixels.reshape(-1, pixels.shape[-1]) if known is None else pixels[known]
        values = values[:: max(1, len(values) // MEASURED_PIXELS)]
        if values.dtype.kind == "f":
            values = values[np.isfinite(values).all(axis=-1)]
        samples.setdefault(pixels.shape[-1], []).append(values)
    if len(samples) > 1:
        raise ValueError(
            f"The images have {' and '.join(map(str, sorted(samples)))} bands, so that no range "
            "can be measured per band. Save them with equally many bands."
        )
    return measured_range(next(iter(samples.values()))) if samples else None
