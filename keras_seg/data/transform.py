"""Transforms of the user, such as Albumentations or Keras' layers, on an image and its mask."""

from __future__ import annotations

import contextlib
import inspect
import random
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from keras_seg.data.dataset import Sample, SegmentationDataset
from keras_seg.import_paths import import_by_path
from keras_seg.names import IGNORE_CLASS

Transform = Callable[..., Mapping[str, Any]] | Sequence
"""A function of the keywords `image` and `mask`, or layers of Keras."""
CHECKED = 4
"""Samples on which a transform is tried before the training."""
TO_FLOAT = (
    "The network takes pixels in 0..255 and normalises them itself: leave out steps such as "
    "Normalize, ToFloat and Rescaling."
)
TO_TENSOR = "Leave out steps such as ToTensorV2: channels come last."
NEAREST = "Masks are resized and moved by the nearest pixel (interpolation order 0)."


class SampleTransform:
    """Applies a user's transform to one sample.

    All random numbers of a call follow from its seed: those of `random` and of `numpy.random`, of
    Keras' layers, and of objects with `set_random_seed`, such as `albumentations.Compose`. A
    function with the keyword `seed` receives it. Calls do not overlap.

    Args:
        transform: a function `transform(image=..., mask=...)` that returns a mapping with "image"
            and "mask"; or a Keras layer, or a list of them. It receives (H, W, C) uint8 and (H, W)
            uint8, or (H, W, labels) uint8.
        channels: number of channels of the images.
        num_classes: number of classes.

    Raises: TypeError for anything else. When it is called, ValueError for what a pipeline cannot
        take.
    """

    def __init__(self, transform: Transform, *, channels: int, num_classes: int):
        layers = list(transform) if isinstance(transform, list | tuple) else [transform]
        if layers and all(map(_is_keras_layer, layers)):
            self._call: Callable = _KerasLayers(layers)
        elif callable(transform):
            self._call = transform
        else:
            raise TypeError(
                "transform is a function that is called as transform(image=..., mask=...), a Keras "
                f"layer, or a list of layers. Received: {transform!r}"
            )
        self._channels, self._num_classes = channels, num_classes
        self._lock = threading.Lock()
        self._takes_seed = _has_keyword(self._call, "seed")
        _check_keywords(self._call)

    def __call__(
        self, image: np.ndarray, mask: np.ndarray, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Transforms a sample.

        Shapes: image (H, W, C) uint8 and mask (H, W[, labels]) → the same of another height and
        width, uint8 and int32.

        Raises: ValueError for a result of another kind, with the line to change.
        """
        seed = int(seed)
        keywords = {"seed": seed} if self._takes_seed else {}
        with self._lock, _seeded(seed):
            if hasattr(self._call, "set_random_seed"):
                self._call.set_random_seed(seed)
            result = self._call(image=image.copy(), mask=mask.astype(np.uint8), **keywords)
        if not isinstance(result, Mapping) or not {"image", "mask"} <= result.keys():
            received = sorted(result) if isinstance(result, Mapping) else type(result).__name__
            raise ValueError(
                'transform must return a mapping with "image" and "mask", such as '
                f'{{"image": image, "mask": mask}}. Received: {received}'
            )
        pixels = self._pixels(np.asarray(result["image"]))
        return pixels, self._labels(np.asarray(result["mask"]), pixels, mask)

    def check(self, dataset: SegmentationDataset) -> None:
        """Tries the transform on the first samples.

        Raises: ValueError as a call does, and for samples with weights, which would stay behind.

        Warns: UserWarning for classes in a mask that were not there before.
        """
        for index in range(min(CHECKED, len(dataset))):
            sample = dataset[index]
            if sample.weights is not None:
                raise ValueError(
                    "transform moves the image and its mask, and not the weights of the pixels "
                    "(border_weights, WeightedDataset). Leave one of the two out."
                )
            image, mask = self(sample.image, sample.mask, index)
            if image.dtype == np.uint8 and sample.image.max() > 1 >= image.max():
                raise ValueError(f"transform returns images of 0 to {image.max()}. {TO_FLOAT}")
            self._tell_of_new_classes(sample, mask)

    def _tell_of_new_classes(self, sample: Sample, mask: np.ndarray) -> None:
        before = {0, IGNORE_CLASS, *map(int, np.unique(sample.mask))}
        new = sorted({*map(int, np.unique(mask))} - before)
        if new:
            warnings.warn(
                f"transform returns a mask of {sample.name} with the classes {new}, which the mask "
                f"before does not have. If it interpolates masks, they are wrong. {NEAREST}",
                stacklevel=4,
            )

    def _pixels(self, image: np.ndarray) -> np.ndarray:
        if image.ndim != 3 or image.shape[-1] != self._channels:
            remedy = f" {TO_TENSOR}" if image.shape[:1] == (self._channels,) else ""
            raise ValueError(
                f"transform must return images of shape (height, width, {self._channels}). "
                f"Received: {image.dtype} of shape {image.shape}.{remedy}"
            )
        if image.dtype == np.uint8:
            return image
        low, high = float(image.min()), float(image.max())
        if image.dtype.kind not in "fiu" or low < -0.5 or high > 255.5 or not high - low < 256:
            raise ValueError(
                f"transform returns images of {image.dtype} from {low:g} to {high:g}. {TO_FLOAT}"
            )
        if image.dtype.kind == "f" and 0 < high <= 1:
            raise ValueError(f"transform returns images of {low:g} to {high:g}. {TO_FLOAT}")
        return np.rint(image).clip(0, 255).astype(np.uint8)

    def _labels(self, mask: np.ndarray, image: np.ndarray, before: np.ndarray) -> np.ndarray:
        if mask.ndim == before.ndim + 1 and mask.shape[-1] == 1:
            mask = mask[..., 0]
        if mask.shape != (*image.shape[:2], *before.shape[2:]):
            raise ValueError(
                "transform must return an image and a mask of one height and width. Received: an "
                f"image of shape {image.shape} and a mask of shape {mask.shape}."
            )
        if mask.dtype.kind == "f" and not np.array_equal(mask, np.rint(mask)):
            raise ValueError(f"transform returns masks of fractions. {NEAREST}")
        largest = 1 if before.ndim == 3 else self._num_classes - 1
        values = mask[mask != IGNORE_CLASS]
        if values.size and not 0 <= values.min() <= values.max() <= largest:
            raise ValueError(
                f"transform returns masks with values from {values.min():g} to {values.max():g}, "
                f"and the classes are 0 to {largest}. Fill new area with {IGNORE_CLASS} (unknown), "
                f"in Albumentations by fill_mask={IGNORE_CLASS}. {NEAREST}"
            )
        return mask.astype(np.int32)


def transform_of(path: str) -> Transform:
    """Imports the transform that a recipe names, such as "my_transforms:train".

    Raises: ValueError if there is no such module or name.
    """
    return import_by_path(path, "transform", "my_transforms:train")


class _KerasLayers:
    """Keras' image layers, one after the other.

    Masks are shifted by one, so that 0, with which the layers fill new area, means unknown.
    """

    def __init__(self, layers: list):
        self._layers = layers

    def set_random_seed(self, seed: int) -> None:
        for number, layer in enumerate(self._layers):
            for place, generator in enumerate(_generators(layer)):
                numbers = np.random.SeedSequence((seed, number, place)).generate_state(2)
                generator.state.assign(numbers.astype("uint32"))

    def __call__(self, *, image: np.ndarray, mask: np.ndarray) -> dict:
        labels = mask if mask.ndim == 3 else mask[..., None]
        shifted = (labels.astype(np.float32) + 1) % (IGNORE_CLASS + 1)
        data = {"images": image.astype(np.float32), "segmentation_masks": shifted}
        for layer in self._layers:
            try:
                data = layer(data, training=True)
            except (ValueError, TypeError) as error:  # Rescaling, Conv2D, ...
                raise ValueError(
                    f"transform: the Keras layer {type(layer).__name__} does not take an image "
                    f"with its mask, as RandomFlip and other image layers do. {TO_FLOAT}"
                ) from error
        pixels, moved = (np.asarray(data[key]) for key in ("images", "segmentation_masks"))
        moved = (moved - 1) % (IGNORE_CLASS + 1)
        return {"image": pixels, "mask": moved if mask.ndim == 3 else moved[..., 0]}


def _generators(layer: Any) -> list:
    """The random generators of a layer and of the layers in it."""
    below = getattr(layer, "_flatten_layers", lambda: [layer])()
    found = [generator for each in below for generator in vars(each).values() if _draws(generator)]
    return list({id(generator): generator for generator in found}.values())


def _draws(value: object) -> bool:
    return type(value).__name__ == "SeedGenerator" and hasattr(value, "state")


def _is_keras_layer(value: object) -> bool:
    import keras

    return isinstance(value, keras.layers.Layer)


def _has_keyword(function: Callable, name: str) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    return name in parameters


def _check_keywords(function: Callable) -> None:
    """Refuses a function that cannot be called with the keywords `image` and `mask`."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind_partial(image=None, mask=None)
    except TypeError as error:
        name = getattr(function, "__name__", type(function).__name__)
        raise TypeError(
            "transform is called as transform(image=image, mask=mask). Received: "
            f"{name}{signature}. Name its arguments image and mask."
        ) from error


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds `random` and `numpy.random` for a block, and restores their states."""
    # the global generators, which transforms use
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
