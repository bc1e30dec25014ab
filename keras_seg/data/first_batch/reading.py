"""The first batches of whatever `model.fit` takes, without losing one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_seg.data.dataset import Sample

KERAS_BATCH_SIZE = 32
"""What `fit` takes for arrays where nothing is said."""
MAIN = "logits"


@dataclass(frozen=True)
class Batch:
    """One step of one device, as arrays.

    images: as given; (B, H, W, C) if they are right. masks: as given, of the main output. weights:
    of images or pixels in the loss; None where there are none.
    """

    images: np.ndarray
    masks: np.ndarray
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class Looked:
    """What was looked at.

    batches: the first ones, at least one.
    whole: whether these are all that the data hold.
    sizes: numbers of images that a batch has, as far as known; among them that of the last batch.
    divided: whether the batches are those of single devices, from a distributed data set.
    again: the data to train with, from the first batch on.
    """

    batches: list[Batch]
    whole: bool
    sizes: frozenset[int]
    again: Any
    divided: bool = False


def look(batches, number: int, *, batch_size: int | None = None) -> Looked:
    """Takes the first `number` batches.

    batch_size: of arrays; Keras' 32 if it is None.
    Raises: ValueError or TypeError for what holds no pairs of images and masks.
    """
    if number < 1:
        raise ValueError(f"number_of_batches must be at least 1. Received: {number}")
    if _are_arrays(batches):
        return _look_at_arrays(batches, number, batch_size or KERAS_BATCH_SIZE)
    if batch_size is not None:
        raise ValueError(
            f"batch_size is for arrays. {type(batches).__name__} has batches already: leave "
            "batch_size out."
        )
    if isinstance(batches, keras.utils.PyDataset):
        return _look_at_sequence(batches, batches.num_batches, number)
    if isinstance(batches, list | tuple):
        return _look_at_sequence(batches, len(batches), number)
    if not isinstance(batches, Iterable):
        raise TypeError(
            "check_batches takes what model.fit takes: a tf.data.Dataset, a PyDataset, a pair "
            f"(images, masks) of arrays, a list of batches or a generator. Received: "
            f"{type(batches).__name__}"
        )
    iterator = iter(batches)
    taken = list(itertools.islice(iterator, number + 1))
    again = _continued(taken, iterator) if iterator is batches else batches
    return _looked(taken[:number], whole=len(taken) <= number, again=again)


def _continued(taken: list, rest: Iterator):
    """A generator, as `fit` tells it from other iterators."""
    yield from taken
    yield from rest


def _are_arrays(batches) -> bool:
    """(images, masks[, weights]) of all images, rather than a list of batches."""
    if not isinstance(batches, tuple) or len(batches) not in (2, 3):
        return False
    return all(hasattr(part, "shape") or isinstance(part, dict) for part in batches)


def _look_at_arrays(arrays: tuple, number: int, batch_size: int) -> Looked:
    sample = keras.tree.flatten(arrays[0])[0]
    length = int(sample.shape[0]) if len(sample.shape) else 0
    starts = range(0, max(length, 1), batch_size)
    taken = [
        keras.tree.map_structure(lambda part, start=start: part[start : start + batch_size], arrays)
        for start in starts[:number]
    ]
    sizes = {min(batch_size, length)} | ({length % batch_size} - {0})
    return _looked(taken, whole=len(starts) <= number, again=arrays, sizes=sizes)


def _look_at_sequence(batches, length: int | None, number: int) -> Looked:
    known = length is not None
    taken = [batches[index] for index in range(min(number, length) if known else number)]
    sizes = set()
    if known and length > number:  # the last batch may be smaller than the others
        last = keras.tree.flatten(_parts(batches[length - 1])[0])[0]
        sizes.add(int(last.shape[0]))
    return _looked(taken, whole=known and length <= number, again=batches, sizes=sizes)


def _looked(taken: list, *, whole: bool, again, sizes: Iterable[int] = ()) -> Looked:
    batches = [batch for element in taken for batch in _of_devices(element)]
    if not any(batch.images.size for batch in batches):
        raise ValueError("There is no batch to look at: the data are empty.")
    batches = [batch for batch in batches if batch.images.size]  # a device may have none
    rows = {len(batch.images) for batch in batches if batch.images.ndim}
    divided = len(batches) > len(taken)
    return Looked(batches, whole, frozenset(rows | set(sizes)), again, divided)


def _of_devices(element) -> Iterator[Batch]:
    """A batch, or of a distributed data set that of each device."""
    parts = [_local(part) for part in keras.tree.flatten(element)]
    for device in range(max((len(part) for part in parts), default=0)):
        local = iter(part[min(device, len(part) - 1)] for part in parts)
        yield _batch(keras.tree.map_structure(lambda _, local=local: next(local), element))


def _local(part) -> tuple:
    values = getattr(part, "values", None)  # of tf.distribute's PerReplica
    return tuple(values) if isinstance(values, tuple) else (part,)


def _parts(element) -> tuple:
    if not isinstance(element, tuple | list) or not 2 <= len(element) <= 3:
        found = type(element).__name__
        if isinstance(element, tuple | list):
            found = f"{found} of {len(element)}"
        advice = (
            " Make batches of a data set by keras_seg.data.training_pipeline(dataset, crop=(256, "
            "256), batch_size=8, epochs=1)."
            if isinstance(element, Sample)
            else ""
        )
        raise ValueError(
            "A batch must be (images, masks) or (images, masks, weights), for `fit` to have "
            f"something to compare with. Received: {found}.{advice}"
        )
    return tuple(element)


def _batch(element) -> Batch:
    images, masks, *weights = _parts(element)
    weights = _array(_main(weights[0])) if weights and weights[0] is not None else None
    return Batch(_array(_first_picture(images)), _array(_main(masks)), weights)


def _main(given):
    """The entry of the main output, where there is one for each output."""
    if isinstance(given, dict):
        return given.get(MAIN, next(iter(given.values())))
    return given[0] if isinstance(given, tuple | list) and hasattr(given[0], "shape") else given


def _first_picture(images):
    """The images among several inputs."""
    inputs = keras.tree.flatten(images) if isinstance(images, dict | tuple | list) else [images]
    return next((each for each in inputs if len(getattr(each, "shape", ())) == 4), inputs[0])


def _array(values) -> np.ndarray:
    if type(values).__name__ == "RaggedTensor":
        raise ValueError(
            "The batches are ragged: their images differ in size. Crop or resize them before "
            ".batch(), or take batches of one image."
        )
    try:
        array = keras.ops.convert_to_numpy(values) if not isinstance(values, np.ndarray) else values
    except (TypeError, ValueError):
        array = np.asarray(values)
    if str(array.dtype) == "bfloat16":
        return array.astype(np.float32)
    if array.dtype.kind not in "buif":
        raise ValueError(
            f"A batch holds values of type {array.dtype}; pixels and labels are numbers. Read the "
            "files before batching, for example with tf.io.decode_image."
        )
    return array
