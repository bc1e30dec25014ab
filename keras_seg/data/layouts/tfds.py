"""Segmentation sets of TensorFlow Datasets."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.data.folder.pairs import check_values
from keras_seg.data.mask_values.counts import count_labels
from keras_seg.data.mask_values.findings import label_findings
from keras_seg.data.mask_values.pixels import class_numbers, without_equal_channels
from keras_seg.data.mask_values.remedies import NO_CLASS_FILE
from keras_seg.data.reading.arrays import to_bytes, with_channels
from keras_seg.names import IGNORE_CLASS, unknown_name

MASK_FEATURES = ("segmentation_mask", "segmentation_label", "mask", "label", "annotation")
IMAGE_FEATURES = ("image", "image_left", "input")
FOLDER = "save it as a folder of images/ and masks/ and"
AS_FOLDER = replace(
    NO_CLASS_FILE,
    values=f"{FOLDER} {NO_CLASS_FILE.values}",
    values_ignoring=f"{FOLDER} {NO_CLASS_FILE.values_ignoring}",
)
SPLITS = {"train": ("train",), "val": ("validation", "val", "test")}


class TfdsDataset(SegmentationDataset):
    """A data set that `tensorflow_datasets` downloads. Encoded images are kept in memory.

    Its split "validation", or else "test", is used for validation. Without `classes` the values of
    the masks are numbered.

    Args:
        name: name for `tfds.load`, such as "oxford_iiit_pet:4.*.*".
        split: "train" or "val".
        classes: names and colours of the mask values.
        channels: 3 or 1.

    Raises: ImportError if tensorflow-datasets is not installed; ValueError if the set has no
        matching split, image or mask.
    """

    def __init__(
        self,
        name: str,
        split: str = "train",
        *,
        classes: ClassTable | None = None,
        channels: int = 3,
    ):
        tfds = _library()
        if split not in SPLITS:
            raise ValueError(unknown_name("split", split, SPLITS))
        builder = tfds.builder(name)
        builder.download_and_prepare()
        features, available = builder.info.features, list(builder.info.splits)
        source = next((s for s in SPLITS[split] if s in available), None)
        if source is None:
            raise ValueError(
                f"{name} has no split for {split!r}: it has {', '.join(available)}, and one of "
                f"{', '.join(SPLITS[split])} is needed."
            )
        self.name, self.split, self.channels = name, split, channels
        self._mask = _feature(features, MASK_FEATURES, name)
        self._image = _feature(features, IMAGE_FEATURES, name)
        kept = {key: features[key] for key in (self._image, self._mask)}
        # Encoded pictures take a tenth of the memory. Other features have no decoding to skip.
        skip = {
            key: tfds.decode.SkipDecoding()
            for key, feature in kept.items()
            if isinstance(feature, tfds.features.Image)
        }
        rows = tfds.as_numpy(builder.as_dataset(split=source, decoders=skip))
        self._rows = [{key: row[key] for key in kept} for row in rows]
        self.classes = classes or self._numbered()

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Sample:
        row = self._rows[index]
        number = range(len(self))[index]
        name = f"{self.name.replace('/', '_').replace(':', '_')}_{self.split}_{number:06d}"
        image = _decoded(row[self._image], name)
        if image.dtype != np.uint8:
            image = to_bytes(image, None, name)
        mask = self._read_mask(index)
        check_values(mask, self.classes, name)
        return Sample(name, with_channels(image, self.channels, name), mask)

    def _read_mask(self, index: int) -> np.ndarray:
        name = f"mask {index} of {self.name}"
        mask = _decoded(self._rows[index][self._mask], name)
        if mask.ndim == 3 and mask.shape[-1] == 3:
            mask, _ = without_equal_channels(mask)
        return class_numbers(mask, name)

    def _numbered(self) -> ClassTable:
        counts = count_labels(self._read_mask(index) for index in range(len(self)))
        for finding in label_findings(
            counts, subject=f"The masks of {self.name}", remedies=AS_FOLDER
        ):
            if finding.error:
                raise ValueError(finding.message)
            if finding.kind == "gaps":
                warnings.warn(finding.message, stacklevel=3)
        values = [value for value in counts if value != IGNORE_CLASS]
        return ClassTable.numbered(max(2, int(max(values, default=0)) + 1))


def _library() -> ModuleType:
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ImportError(
            "tfds: needs TensorFlow Datasets. Install it: pip install tensorflow-datasets "
            "importlib_resources."
        ) from error
    return tensorflow_datasets


def _feature(features: Mapping[str, Any], candidates: tuple[str, ...], name: str) -> str:
    """The name of the feature that holds the image or the mask."""
    for key in candidates:
        if key in features and len(features[key].shape or ()) in (2, 3):
            return key
    raise ValueError(
        f"{name} is not a known form of segmentation set: none of {', '.join(candidates)} is an "
        f"image among its features {', '.join(features)}."
    )


def _decoded(value: bytes | np.ndarray, name: str) -> np.ndarray:
    if not isinstance(value, bytes):
        return np.asarray(value)
    try:
        return np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(value))))
    except Exception as error:  # Pillow raises whatever damaged bytes lead it to
        raise ValueError(f"{name} cannot be decoded: {error}.") from error
