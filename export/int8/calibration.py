"""Calibration images, on which the range of every tensor of an integer file is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_seg.data.as_dataset import Data, has_masks
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.reading.in_memory import as_pixels
from keras_seg.data.wrappers.resized import resize_image
from keras_seg.export.kinds import Kind, kinds_that
from keras_seg.names import IGNORE_CLASS

COUNT = 32
"""Number of calibration images. With one, logits lost 7 dB; more than 16 gained nothing."""
SCANNED = 8
"""So many times COUNT images are searched for classes that are still missing."""


@dataclass(frozen=True)
class Calibration:
    """Calibration images.

    Attributes:
        images: (H, W, C) uint8 each, at the size of the network.
        names: names of the samples that they come from.
        missing: names of the classes that are on none of them.
        has_masks: whether masks show which classes are on them; if not, `missing` is empty.
    """

    images: list[np.ndarray]
    names: list[str]
    missing: list[str]
    has_masks: bool = True


NO_IMAGES = Calibration([], [], [])
"""For kinds that need no calibration, and for models with trained ranges."""


def check_ranges(kind: Kind, calibration: Data | None, *, has_trained_ranges: bool) -> None:
    """Raises ValueError unless the ranges of an integer file can be known."""
    if has_trained_ranges:
        if not kind.takes_trained_ranges:
            fitting = kinds_that(lambda kind: kind.takes_trained_ranges)
            raise ValueError(
                "A quantization-aware model was trained for one kind of file: TFLite with "
                f"quantize={fitting}. Received: format={kind.format!r}, "
                f"quantize={kind.quantize!r}. Pass quantize={fitting}, or export the network that "
                "it was made from."
            )
    elif kind.needs_calibration and (calibration is None or _is_empty(calibration)):
        raise ValueError(
            f"quantize={kind.quantize!r} needs real images to measure the range of every tensor. "
            f"Received: {'no' if calibration is None else 'an empty'} calibration data set. "
            "Pass the training data as calibration."
        )


def choose_images(
    dataset: SegmentationDataset,
    input_shape: tuple[int, int, int],
    *,
    sizing: str = "resize",
    count: int = COUNT,
    seed: int = 0,
) -> Calibration:
    """Picks images at random, then swaps some until every class is on one of them.

    Images are resized, or for sizing "tile" a window of each is cut out, as in `predict`. Pixels 0
    and 255 are always among them, so that a uint8 camera image is the network's input as it is
    (scale 1, zero point 0).

    Args:
        input_shape: (height, width, channels) of the network.
        sizing: "resize" or "tile".
        count: number of images.
        seed: seed of the random choice.

    Raises: ValueError for images whose channels the network cannot take.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(dataset))[: SCANNED * count]
    all_classes = set(range(len(dataset.classes))) if has_masks(dataset) else set()
    picks: list[tuple[str, np.ndarray, set[int]]] = []
    for index in order.tolist():
        seen = set().union(*(classes for _, _, classes in picks))
        if len(picks) == count and seen >= all_classes:
            break
        pick = _as_network_sees(dataset[index], input_shape, sizing, random)
        if len(picks) < count:
            picks.append(pick)
        elif pick[2] - seen and (spare := _spare(picks)) is not None:
            picks[spare] = pick
    seen = set().union(*(classes for _, _, classes in picks))
    return Calibration(
        images=_with_extremes([image for _, image, _ in picks]),
        names=[name for name, _, _ in picks],
        missing=[dataset.classes.names[value] for value in sorted(all_classes - seen)],
        has_masks=has_masks(dataset),
    )


def _as_network_sees(
    sample: Sample, input_shape: tuple, sizing: str, random: np.random.Generator
) -> tuple[str, np.ndarray, set[int]]:
    """A sample's name, its image as the network sees it, and the classes on it."""
    image, mask = as_pixels(sample.image, input_shape[2], what=sample.name), sample.mask
    if sizing == "tile":
        padding = [
            (0, max(0, full - size))
            for full, size in zip(input_shape[:2], mask.shape[:2], strict=True)
        ]
        image = np.pad(image, [*padding, (0, 0)], mode="edge")
        top, left = (
            random.integers(size - full + 1)
            for full, size in zip(input_shape, image.shape[:2], strict=False)
        )
        place = np.s_[top : top + input_shape[0], left : left + input_shape[1]]
        image, mask = image[place], mask[place]
    if mask.ndim == 3:  # multi-label masks
        classes = set(np.flatnonzero((mask == 1).any((0, 1))).tolist())
    else:
        classes = {int(value) for value in np.unique(mask)} - {IGNORE_CLASS}
    return sample.name, resize_image(image, input_shape[:2]), classes


def _spare(picks: list[tuple[str, np.ndarray, set[int]]]) -> int | None:
    """Index of an image whose classes are all on other images, too; None if there is none."""
    for i, (_, _, classes) in enumerate(picks):
        if classes <= set().union(*(other for j, (_, _, other) in enumerate(picks) if j != i)):
            return i
    return None


def _with_extremes(images: list[np.ndarray]) -> list[np.ndarray]:
    """Adds a copy of an image with a pixel of 0 and one of 255, if either is missing.

    Its darkest and brightest pixel get these values. Black and white images would do, too, but they
    would also widen the ranges of inner tensors, which real images never fill.
    """
    if min(image.min() for image in images) == 0 and max(image.max() for image in images) == 255:
        return images
    copy = max(images, key=np.ptp).copy()
    brightness = copy.sum(-1, dtype=np.int64)
    copy[np.unravel_index(brightness.argmin(), brightness.shape)] = 0
    copy[np.unravel_index(brightness.argmax(), brightness.shape)] = 255
    return [*images, copy]


def _is_empty(calibration: Data) -> bool:
    """Whether data hold no image; data that must be opened or run to know are checked later."""
    sized = isinstance(calibration, SegmentationDataset | list | tuple | np.ndarray)
    return sized and len(calibration) == 0
