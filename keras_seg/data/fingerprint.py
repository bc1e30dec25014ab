"""What a data set is like, and the crop, batch and weights that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_seg.data.dataset import Sample
from keras_seg.data.histogram import count_classes, median_frequency_weights
from keras_seg.data.weighted import connected_instances
from keras_seg.names import IGNORE_CLASS

SIZE_MULTIPLE = 32
SMALLEST_CROP, LARGEST_CROP = 128, 512
OBJECTS_ACROSS = 4
"""A crop is at least so many large objects wide, so that they are seen with what is around them."""
PIXELS_PER_STEP = 8 * 256 * 256
SMALLEST_BATCH, LARGEST_BATCH = 4, 32


@dataclass(frozen=True)
class SampleFacts:
    """What is remembered of one sample.

    size: (height, width) in pixels.
    pixels: (classes,) of each class; `ignored` those of 255, with all labels.
    digest: of the pixels of the image; equal for equal images.
    grey: whether the channels are alike.
    diameters: square roots of the areas of the objects, in pixels; None where not measured.
    """

    name: str
    size: tuple[int, int]
    pixels: np.ndarray
    ignored: int
    digest: bytes
    grey: bool
    diameters: np.ndarray | None


def object_diameters(sample: Sample) -> np.ndarray:
    """Square roots of the areas of the instances, or of the connected parts of classes above 0."""
    maps = [sample.instances]
    if sample.instances is None:
        labels = [sample.mask] if sample.mask.ndim == 2 else np.moveaxis(sample.mask, -1, 0)
        maps = [connected_instances(label) for label in labels]
    areas = [np.unique(each[each > 0], return_counts=True)[1] for each in maps]
    return np.sqrt(np.concatenate(areas))


def sample_facts(sample: Sample, num_classes: int, digest: bytes, *, measure: bool) -> SampleFacts:
    image = sample.image
    return SampleFacts(
        sample.name,
        sample.mask.shape[:2],
        count_classes(sample.mask, num_classes),
        int((sample.mask == IGNORE_CLASS).reshape(*sample.mask.shape[:2], -1).all(axis=-1).sum()),
        digest,
        image.shape[-1] == 1 or bool((image == image[..., :1]).all()),
        object_diameters(sample) if measure else None,
    )


@dataclass(frozen=True)
class Suggestion:
    """What a first training on the data would do well to use.

    crop: (height, width) in pixels.
    channels: 1 if every image is grey, else None for what the data were opened with.
    class_weights: by median frequency.
    object_diameter: of a large object, in pixels; None without objects. Nine tenths of the pixels
        of objects belong to one that is no larger.
    """

    crop: tuple[int, int]
    batch_size: int
    channels: int | None
    class_weights: list[float]
    object_diameter: float | None


def suggest(facts: list[SampleFacts]) -> Suggestion:
    """A recipe for the training samples.

    The crop holds four large objects side by side (128 to 512 pixels, a multiple of 32) but is no
    larger than the median image; the batch fills 8 x 256 x 256 pixels, with at least 4 samples for
    the batch norm.
    """
    sizes = np.array([fact.size for fact in facts])
    measured = [fact.diameters for fact in facts if fact.diameters is not None]
    diameters = np.concatenate(measured) if measured else np.zeros(0)
    large = _large(diameters) if diameters.size else None
    wanted = LARGEST_CROP if large is None else OBJECTS_ACROSS * large
    wanted = np.ceil(np.clip(wanted, SMALLEST_CROP, LARGEST_CROP) / SIZE_MULTIPLE)
    room = np.maximum(np.median(sizes, axis=0) // SIZE_MULTIPLE, 1)
    height, width = (int(side) * SIZE_MULTIPLE for side in np.minimum(wanted, room))
    batch = round(PIXELS_PER_STEP / (height * width))
    batch = min(max(batch, SMALLEST_BATCH), LARGEST_BATCH, len(facts))
    weights = median_frequency_weights(np.stack([fact.pixels for fact in facts]))
    return Suggestion(
        (height, width),
        batch,
        1 if all(fact.grey for fact in facts) else None,
        [round(float(weight), 4) for weight in weights],
        None if large is None else round(large, 1),
    )


def _large(diameters: np.ndarray) -> float:
    """The diameter that nine tenths of all pixels of objects do not exceed.

    Counted by pixels and not by objects, because a mask of large regions has many crumbs.
    """
    ascending = np.sort(diameters)
    areas = np.cumsum(ascending**2)
    return float(ascending[np.searchsorted(areas, 0.9 * areas[-1])])
