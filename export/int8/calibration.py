"""The images on which an integer file learns the range of every tensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_seg.data.as_dataset import has_masks
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.reading.in_memory import as_pixels
from keras_seg.data.reading.resize import resize_image
from keras_seg.names import IGNORE_CLASS

COUNT = 32
"""Images to calibrate on: one costs 7 dB of the logits' accuracy, more than 16 gain nothing."""
SCANNED = 8
"""How many times more images are looked at in search of classes that are still missing."""


@dataclass(frozen=True)
class Calibration:
    """Images to calibrate on.

    Attributes:
        images: (H, W, C) uint8 each, at the size of the network.
        names: the samples that they come from.
        missing: names of the classes that are on none of them.
        has_masks: whether masks told what is on them; if not, `missing` is empty.
    """

    images: list[np.ndarray]
    names: list[str]
    missing: list[str]
    has_masks: bool = True


def choose(
    dataset: SegmentationDataset,
    input_shape: tuple[int, int, int],
    *,
    sizing: str = "resize",
    count: int = COUNT,
    seed: int = 0,
) -> Calibration:
    """Picks real images at random, then swaps some until every class is on one of them.

    Images meet the network as `predict` would have it: resized, or for sizing "tile" one window of
    each at its own scale. Pixels 0 and 255 are always among them, so that a uint8 camera image is
    the network's input as it is (scale 1, zero point 0).

    Raises: ValueError for images whose channels the network cannot take.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(dataset))[: SCANNED * count]
    wanted = set(range(len(dataset.classes))) if has_masks(dataset) else set()
    picks: list[tuple[str, np.ndarray, set[int]]] = []
    for index in order.tolist():
        seen = set().union(*(classes for _, _, classes in picks))
        if len(picks) == count and seen >= wanted:
            break
        pick = _view(dataset[index], input_shape, sizing, random)
        if len(picks) < count:
            picks.append(pick)
        elif pick[2] - seen and (spare := _spare(picks)) is not None:
            picks[spare] = pick
    seen = set().union(*(classes for _, _, classes in picks))
    return Calibration(
        images=_with_extremes([image for _, image, _ in picks]),
        names=[name for name, _, _ in picks],
        missing=[dataset.classes.names[value] for value in sorted(wanted - seen)],
        has_masks=has_masks(dataset),
    )


def _view(
    sample: Sample, input_shape: tuple, sizing: str, random: np.random.Generator
) -> tuple[str, np.ndarray, set[int]]:
    """A sample's name, its image as the network sees it, and the classes on it."""
    image, mask = as_pixels(sample.image, input_shape[2], what=sample.name), sample.mask
    if sizing == "tile":
        padding = [
            (0, max(0, full - size)) for full, size in zip(input_shape, mask.shape, strict=False)
        ]
        image = np.pad(image, [*padding, (0, 0)], mode="edge")
        top, left = (
            random.integers(size - full + 1)
            for full, size in zip(input_shape, image.shape[:2], strict=False)
        )
        place = np.s_[top : top + input_shape[0], left : left + input_shape[1]]
        image, mask = image[place], mask[place]
    if mask.ndim == 3:  # labels, of which a pixel may have several
        classes = set(np.flatnonzero((mask == 1).any((0, 1))).tolist())
    else:
        classes = {int(value) for value in np.unique(mask)} - {IGNORE_CLASS}
    return sample.name, resize_image(image, input_shape[:2]), classes


def _spare(picks: list[tuple[str, np.ndarray, set[int]]]) -> int | None:
    """Index of an image all of whose classes are on others too."""
    for i, (_, _, classes) in enumerate(picks):
        if classes <= set().union(*(other for j, (_, _, other) in enumerate(picks) if j != i)):
            return i
    return None


def _with_extremes(images: list[np.ndarray]) -> list[np.ndarray]:
    """Adds, where 0 or 255 is missing, a copy of an image with its darkest and brightest pixel so.

    Whole black and white images would do it too, but they would also stretch the ranges of the
    tensors within, which real images never fill.
    """
    if min(image.min() for image in images) == 0 and max(image.max() for image in images) == 255:
        return images
    copy = max(images, key=np.ptp).copy()
    brightness = copy.sum(-1, dtype=np.int64)
    copy[np.unravel_index(brightness.argmin(), brightness.shape)] = 0
    copy[np.unravel_index(brightness.argmax(), brightness.shape)] = 255
    return [*images, copy]
