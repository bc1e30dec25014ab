"""Takes the first batches from anything that `model.fit` takes, without losing one."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_seg.data.dataset import Sample

KERAS_BATCH_SIZE = 32
"""Default batch size of `fit` for arrays."""
MAIN = "logits"
"""The main output of a network with several."""


@dataclass(frozen=True)
class Batch:
    """The batch of one device, as arrays.

    Attributes:
        images: the images; (B, H, W, C) if they are right.
        masks: the masks of the main output.
        weights: weights of images or pixels in the loss; None if there are none.
    """

    images: np.ndarray
    masks: np.ndarray
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class FirstBatches:
    """The first batches of a training.

    Attributes:
        batches: the batches, at least one.
        whole: whether these are all data.
        sizes: known batch sizes, including that of the last batch.
        again: the data to train with, from the first batch on.
        divided: whether the batches are those of single devices, from a distributed data set.
    """

    batches: list[Batch]
    whole: bool
    sizes: frozenset[int]
    again: Any
    divided: bool = False


def take_batches(batches: Any, number: int, *, batch_size: int | None = None) -> FirstBatches:
    """Takes the first batches.

    Args:
        batches: what `model.fit` takes.
        number: number of batches.
        batch_size: batch size for arrays; None for Keras' 32.

    Raises: ValueError or TypeError for data that hold no pairs of images and masks.
    """
    if number < 1:
        raise ValueError(f"number_of_batches must be at least 1. Received: {number}")
    if _are_arrays(batches):
        return _from_arrays(batches, number, batch_size or KERAS_BATCH_SIZE)
    if batch_size is not None:
        raise ValueError(
            f"batch_size is for arrays. {type(batches).__name__} has batches already: leave "
            "batch_size out."
        )
    if isinstance(batches, keras.utils.PyDataset):
        return _from_sequence(batches, batches.num_batches, number)
    if isinstance(batches, list | tuple):
        return _from_sequence(batches, len(batches), number)
    if not isinstance(batches, Iterable):
        raise TypeError(
            "check_batches takes what model.fit takes: a tf.data.Dataset, a PyDataset, a pair "
            f"(images, masks) of arrays, a list of batches or a generator. Received: "
            f"{type(batches).__name__}"
        )
    iterator = iter(batches)
    taken = list(itertools.islice(iterator, number + 1))
    again = _continued(taken, iterator) if iterator is batches else batches
    return _first_batches(taken[:number], whole=len(taken) <= number, again=again)


def _continued(taken: list, rest: Iterator) -> Generator:
    """A generator, which `fit` treats differently from other iterators."""
    yield from taken
    yield from rest


def _are_arrays(batches: Any) -> bool:
    """Whether this is (images, masks[, weights]) of all images, not a list of batches."""
    if not isinstance(batches, tuple) or len(batches) not in (2, 3):
        return False
    return all(hasattr(part, "shape") or isinstance(part, dict) for part in batches)


def _from_arrays(arrays: tuple, number: int, batch_size: int) -> FirstBatches:
    sample = keras.tree.flatten(arrays[0])[0]
    length = int(sample.shape[0]) if len(sample.shape) else 0
    starts = range(0, max(length, 1), batch_size)
    taken = [
        keras.tree.map_structure(lambda part, start=start: part[start : start + batch_size], arrays)
        for start in starts[:number]
    ]
    sizes = {min(batch_size, length)} | ({length % batch_size} - {0})
    return _first_batches(taken, whole=len(starts) <= number, again=arrays, sizes=sizes)


def _from_sequence(batches: Any, length: int | None, number: int) -> FirstBatches:
    known = length is not None
    taken = [batches[index] for index in range(min(number, length) if known else number)]
    sizes = set()
    if known and length > number:  # the last batch may be smaller than the others
        last = keras.tree.flatten(_parts(batches[length - 1])[0])[0]
        sizes.add(int(last.shape[0]))
    return _first_batches(taken, whole=known and length <= number, again=batches, sizes=sizes)


def _first_batches(
    taken: list, *, whole: bool, again: Any, sizes: Iterable[int] = ()
) -> FirstBatches:
    batches = [batch for element in taken for batch in _of_devices(element)]
    if not any(batch.images.size for batch in batches):
        raise ValueError("There is no batch to look at: the data are empty.")
    batches = [batch for batch in batches if batch.images.size]  # a device may have none
    rows = {len(batch.images) for batch in batches if batch.images.ndim}
    divided = len(batches) > len(taken)
    return FirstBatches(batches, whole, frozenset(rows | set(sizes)), again, divided)


def _of_devices(element: Any) -> Iterator[Batch]:
    """The batch, or the batches of all devices for a distributed data set."""
    parts = [_local(part) for part in keras.tree.flatten(element)]
    for device in range(max((len(part) for part in parts), default=0)):
        local = iter(part[min(device, len(part) - 1)] for part in parts)
        yield _batch(keras.tree.map_structure(lambda _, local=local: next(local), element))


def _local(part: Any) -> tuple:
    values = getattr(part, "values", None)  # tf.distribute's PerReplica
    return tuple(values) if isinstance(values, tuple) else (part,)


def _parts(element: Any) -> tuple:
    if not isinstance(element, tuple | list) or not 2 <= len(element) <= 3:
        received = type(element).__name__
        if isinstance(element, tuple | list):
            received = f"{received} of {len(element)}"
        advice = (
            " Make batches of a data set by keras_seg.data.training_pipeline(dataset, crop=(256, "
            "256), batch_size=8, epochs=1)."
            if isinstance(element, Sample)
            else ""
        )
        raise ValueError(
            "A batch must be (images, masks) or (images, masks, weights), for `fit` to have "
            f"something to compare with. Received: {received}.{advice}"
        )
    return tuple(element)


def _batch(element: Any) -> Batch:
    images, masks, *weights = _parts(element)
    weights = _array(_main(weights[0])) if weights and weights[0] is not None else None
    return Batch(_array(_first_picture(images)), _array(_main(masks)), weights)


def _main(given: Any) -> Any:
    """The entry of the main output, if there is one for each output."""
    if isinstance(given, dict):
        return given.get(MAIN, next(iter(given.values())))
    return given[0] if isinstance(given, tuple | list) and hasattr(given[0], "shape") else given


def _first_picture(images: Any) -> Any:
    """The images among several inputs."""
    inputs = keras.tree.flatten(images) if isinstance(images, dict | tuple | list) else [images]
    return next((each for each in inputs if len(getattr(each, "shape", ())) == 4), inputs[0])


def _array(values: Any) -> np.ndarray:
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
