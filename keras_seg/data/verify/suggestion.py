"""Facts about the samples of a data set, and the crop and batch size that suit them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_seg.data.balance.histogram import count_classes, median_frequency_weights
from keras_seg.data.dataset import Sample
from keras_seg.data.wrappers.weighted import connected_instances
from keras_seg.names import IGNORE_CLASS

SIZE_MULTIPLE = 32
SMALLEST_CROP, LARGEST_CROP = 128, 512
OBJECTS_ACROSS = 4
"""A crop is this many large objects wide, so that their surroundings are seen, too."""
PIXELS_PER_STEP = 8 * 256 * 256
SMALLEST_BATCH, LARGEST_BATCH = 4, 32


@dataclass(frozen=True)
class SampleFacts:
    """Facts about one sample.

    Attributes:
        name: name of the sample.
        size: (height, width) in pixels.
        pixels: number of pixels of each class.
        ignored: number of pixels that are 255 (in all labels).
        digest: hash of the image; equal for equal images.
        grey: whether all channels are equal.
        diameters: square roots of the areas of the objects, in pixels; None if not measured.
        index: place of the sample in its data set.
    """

    name: str
    size: tuple[int, int]
    pixels: np.ndarray
    ignored: int
    digest: bytes
    grey: bool
    diameters: np.ndarray | None
    index: int = -1


def object_diameters(sample: Sample) -> np.ndarray:
    """Square root of the area of each instance, or of each connected region of a class above 0."""
    maps = [sample.instances]
    if sample.instances is None:
        labels = [sample.mask] if sample.mask.ndim == 2 else np.moveaxis(sample.mask, -1, 0)
        maps = [connected_instances(label) for label in labels]
    areas = [np.unique(each[each > 0], return_counts=True)[1] for each in maps]
    return np.sqrt(np.concatenate(areas))


def sample_facts(
    sample: Sample, num_classes: int, digest: bytes, *, measure: bool, index: int = -1
) -> SampleFacts:
    """Collects the facts about a sample; `measure` includes the diameters of its objects."""
    image = sample.image
    return SampleFacts(
        sample.name,
        sample.mask.shape[:2],
        count_classes(sample.mask, num_classes),
        int((sample.mask == IGNORE_CLASS).reshape(*sample.mask.shape[:2], -1).all(axis=-1).sum()),
        digest,
        all(np.array_equal(image[..., 0], band) for band in np.moveaxis(image, -1, 0)[1:]),
        object_diameters(sample) if measure else None,
        index,
    )


@dataclass(frozen=True)
class Suggestion:
    """Options for a first training.

    Attributes:
        crop: (height, width) in pixels.
        batch_size: crops per step.
        channels: 1 if every image is grey; None to keep the channels that the data have.
        class_weights: one per class, by median frequency.
        object_diameter: diameter of a large object in pixels; None without objects. 90 % of all
            object pixels belong to objects up to this size.
    """

    crop: tuple[int, int]
    batch_size: int
    channels: int | None
    class_weights: list[float]
    object_diameter: float | None


def suggest(facts: list[SampleFacts]) -> Suggestion:
    """Suggests options for training on samples with these facts.

    The crop is four large objects wide (128 to 512 pixels, a multiple of 32) but not larger than
    the median image. The batch has about 8 x 256 x 256 pixels, and at least 4 samples for batch
    norm.
    """
    sizes = np.array([fact.size for fact in facts])
    measured = [fact.diameters for fact in facts if fact.diameters is not None]
    diameters = np.concatenate(measured) if measured else np.zeros(0)
    large = _large(diameters) if diameters.size else None
    side = LARGEST_CROP if large is None else OBJECTS_ACROSS * large
    blocks = np.ceil(np.clip(side, SMALLEST_CROP, LARGEST_CROP) / SIZE_MULTIPLE)
    most = np.maximum(np.median(sizes, axis=0) // SIZE_MULTIPLE, 1)
    height, width = (int(count) * SIZE_MULTIPLE for count in np.minimum(blocks, most))
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
    """The diameter up to which objects hold 90 % of all object pixels.

    Pixels are counted, not objects, because masks of large regions also have many tiny pieces.
    """
    ascending = np.sort(diameters)
    areas = np.cumsum(ascending**2)
    return float(ascending[np.searchsorted(areas, 0.9 * areas[-1])])
