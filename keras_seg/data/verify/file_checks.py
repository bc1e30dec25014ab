"""Checks of the image and mask files of one split."""

from __future__ import annotations

import numpy as np

from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.folder.dataset import FolderDataset
from keras_seg.data.folder.scan import scan_folder
from keras_seg.data.reading.images import UNREADABLE, orientation, stored_pixels
from keras_seg.data.verify.class_checks import ABOUT_CLASSES
from keras_seg.data.verify.report import Problem
from keras_seg.names import IGNORE_CLASS

NARROW, CLIPPED = 2, 0.95
"""Signs of a wrong "range": an image spans this many of 255 levels, or has this share outside."""
CHECKED = 20
"""Number of images of a split whose values are compared with the range."""
NO_DATA = 0.001
"""Smallest share of the pixels at which a value far below the range is reported."""


def pairing_errors(dataset: SegmentationDataset, split: str) -> list[Problem]:
    """Images without masks, and masks without images."""
    if not isinstance(dataset, FolderDataset) or dataset.one_file_per_label:
        return []  # an official layout with a missing file is refused when it is opened
    problems = scan_folder(dataset.root, split).problems()
    return [Problem("pairs", split, problem) for problem in problems]


def orientation_warnings(dataset: SegmentationDataset, split: str) -> list[Problem]:
    """Images with an EXIF orientation."""
    turned = [
        pair.image.name for pair in getattr(dataset, "pairs", ()) if orientation(pair.image) != 1
    ]
    if not turned:
        return []
    message = (
        f"{len(turned)} images are turned by their EXIF orientation, for example {turned[:3]}. "
        "They are read upright. Check that their masks were drawn on the upright picture."
    )
    return [Problem("orientation", split, message)]


def mask_problems(dataset: SegmentationDataset, split: str) -> tuple[list[Problem], list[Problem]]:
    """Errors and warnings about the values of all mask files of a folder."""
    if not isinstance(dataset, FolderDataset):
        return [], []
    masks = dataset.masks
    survey = None if masks.survey is None else masks.survey_of(whole=True)
    findings = [each for each in masks.findings(survey) if each.kind not in ABOUT_CLASSES]
    errors = [Problem("values", split, each.message) for each in findings if each.error]
    warnings = [Problem("values", split, each.message) for each in findings if not each.error]
    conflict = masks.palette_conflict()
    if conflict:
        warnings.append(Problem("palette", split, conflict))
    return errors, warnings


def no_data_warnings(dataset: SegmentationDataset, split: str) -> list[Problem]:
    """A value far below the range in pixels that have a class, such as -9999 for "no data"."""
    value_range = getattr(dataset, "value_range", None)
    if value_range is None or dataset.multi_label:
        return []
    low, high = value_range
    for index in range(0, len(dataset), max(1, len(dataset) // CHECKED)):
        path = dataset.pairs[index].image
        try:
            pixels, known = stored_pixels(path), dataset[index].mask != IGNORE_CLASS
        except UNREADABLE:
            continue
        lowest = pixels.min(initial=low)
        if lowest >= low - (high - low) or pixels.shape[:2] != known.shape:
            continue
        empty = (pixels == lowest).reshape(*known.shape, -1).any(axis=-1) & known
        if empty.mean() >= NO_DATA:
            message = (
                f"{path} holds {lowest} in {empty.mean():.1%} of the pixels, far below the range "
                f"[{low:g}, {high:g}]. These pixels become black and count in the loss. If the "
                "value means that there are no data, write 255 (unknown) to the mask there."
            )
            return [Problem("no data", split, message)]
    return []


def range_errors(dataset: SegmentationDataset, split: str) -> list[Problem]:
    """A "range" with which every image becomes black, white or one value."""
    value_range = getattr(dataset, "value_range", None)
    if value_range is None:
        return []
    flat, lows, highs = [], [], []
    for index in range(0, len(dataset), max(1, len(dataset) // CHECKED)):
        path = dataset.pairs[index].image
        try:
            stored, mapped = stored_pixels(path), dataset[index].image
        except UNREADABLE:
            continue
        if stored.dtype == np.uint8 or stored.min() == stored.max():
            continue  # the range does not apply to 8 bits
        outside = ((stored < value_range[0]) | (stored > value_range[1])).mean()
        flat.append(int(mapped.max()) - int(mapped.min()) <= NARROW or outside >= CLIPPED)
        lows.append(stored.min())
        highs.append(stored.max())
    if not flat or not all(flat):
        return []
    message = (
        f'The "range" [{value_range[0]:g}, {value_range[1]:g}] of classes.json leaves nothing of '
        f"the images, which hold {min(lows):g} to {max(highs):g}: they become black and white, or "
        "nearly one value. Write the values that are black and white in the whole data set, for "
        f'example "range": [{min(lows):g}, {max(highs):g}].'
    )
    return [Problem("range", split, message)]
