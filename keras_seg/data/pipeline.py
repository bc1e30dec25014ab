"""`tf.data` pipelines for `model.fit`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import tensorflow as tf

from keras_seg.data.augmentation.cut_mix import cut_mix
from keras_seg.data.augmentation.draw import augment
from keras_seg.data.augmentation.options import Augmentation
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.sampling import epoch_order
from keras_seg.data.transform import SampleTransform, Transform
from keras_seg.names import IGNORE_CLASS


def training_pipeline(
    dataset: SegmentationDataset,
    *,
    crop: tuple[int, int],
    batch_size: int,
    epochs: int,
    augmentation: Augmentation | None = None,
    seed: int = 0,
    steps: int | None = None,
    start_step: int = 0,
    shard: tuple[int, int] = (0, 1),
    balance: bool = False,
    transform: Transform | None = None,
) -> tf.data.Dataset:
    """Shuffled and augmented training batches for `model.fit`.

    Each batch depends only on its step, so a training that resumes at `start_step` sees the same
    batches as an uninterrupted one.

    Shapes: images (B, crop height, crop width, C) float32 in 0..255, masks (B, crop height, crop
    width) int32, or (B, crop height, crop width, labels) of a multi-label data set, and weights
    (B, crop height, crop width) float32 if the samples have weights.

    Args:
        dataset: training data.
        crop: (height, width) of the crops in pixels.
        batch_size: samples per step, of all shards together.
        epochs: number of epochs until the pipeline ends, counted from step 0.
        augmentation: random changes of each crop; None for the defaults.
        seed: seed of order and augmentation.
        steps: steps per epoch; None for `steps_per_epoch(dataset, batch_size)`.
        start_step: number of steps to skip.
        shard: (index, count), to get one of `count` equal parts of each batch.
        balance: whether samples with rare classes occur more often.
        transform: changes each sample before `augmentation` and the crop. It is a function such as
            `albumentations.Compose`, called as transform(image=..., mask=...) with uint8 arrays and
            returning a mapping with "image" and "mask"; or a Keras image layer, or a list of them.
            Its random numbers follow from the seed. None for no change.

    Returns: a `tf.data.Dataset`.

    Raises: ValueError if a batch cannot be split evenly, and for a transform whose result is no
        image with its mask.

    Example:

        cells = keras_seg.data.open_dataset("builtin:cells")
        batches = keras_seg.data.training_pipeline(cells, crop=(64, 64), batch_size=4, epochs=1)
        model.fit(batches)
    """
    augmentation = augmentation or Augmentation()
    steps = steps or steps_per_epoch(dataset, batch_size)
    index, count = shard
    if batch_size % count:
        raise ValueError(
            f"batch_size={batch_size} cannot be shared out evenly among {count} workers. Choose a "
            f"multiple of {count}."
        )
    part = batch_size // count
    change = None
    if transform is not None:
        change = SampleTransform(
            transform, channels=dataset.channels, num_classes=len(dataset.classes)
        )
        change.check(dataset)
    read = _reader(dataset, weights=dataset[0].weights is not None)
    mirrored = dataset.classes.mirrored()

    @lru_cache(maxsize=1)
    def order_of(epoch: int) -> np.ndarray:
        return epoch_order(dataset, seed, epoch, length=steps * batch_size, balance=balance)

    def order() -> Iterator[tuple[int, int, int]]:
        for step in range(start_step, epochs * steps):
            epoch, step_in_epoch = divmod(step, steps)
            first = step_in_epoch * batch_size + index * part
            for position in range(first, first + part):
                yield epoch, order_of(epoch)[position], position

    def load(epoch: tf.Tensor, index: tf.Tensor, position: tf.Tensor) -> tuple:
        image, mask, *weights = read(index)
        key = tf.stack([tf.constant(seed, tf.int32), tf.cast(epoch, tf.int32)])
        key = tf.random.fold_in(key, tf.cast(position, tf.int32))
        if change is not None:
            image, mask = _transformed(change, image, mask, key)
        return augment(image, mask, key, crop, augmentation, *weights, mirrored=mirrored)

    def mix(step: tf.Tensor, batch: tuple) -> tuple:
        key = tf.stack([tf.constant(seed, tf.int32), tf.cast(step, tf.int32)])
        key = tf.random.fold_in(key, index)  # each worker mixes its own part
        return cut_mix(*batch[:2], key, augmentation.cut_mix, *batch[2:])

    drawn = tf.data.Dataset.from_generator(
        order, output_signature=(tf.TensorSpec((), tf.int64),) * 3
    )
    batches = drawn.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(part, drop_remainder=True)
    if augmentation.cut_mix:
        batches = batches.enumerate(start_step).map(mix, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE)


def _transformed(
    change: SampleTransform, image: tf.Tensor, mask: tf.Tensor, key: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Applies a transform in Python, with a seed that follows from the sample's key."""
    number = tf.random.stateless_uniform((), key, maxval=2**31 - 1, dtype=tf.int32)
    moved, labels = tf.numpy_function(change, [image, mask, number], (tf.uint8, tf.int32))
    moved.set_shape((None, None, image.shape[-1]))
    labels.set_shape((None, None, *mask.shape[2:]))
    return moved, labels


def steps_per_epoch(dataset: SegmentationDataset, batch_size: int) -> int:
    """Number of full batches in one pass over the data, at least 1."""
    return max(1, len(dataset) // batch_size)


def validation_pipeline(
    dataset: SegmentationDataset,
    *,
    batch_size: int,
    size_multiple: int = 1,
    size_offset: int = 0,
    smallest_size: int = 1,
    full_batches: int | None = None,
) -> tf.data.Dataset:
    """Every image once, in order and uncropped. Images of different sizes come one by one.

    Images are padded at the bottom and right to a multiple of `size_multiple` plus `size_offset`,
    and at least `smallest_size`, pixels. Masks are padded with 255, so that padding does not count.

    Args:
        dataset: validation data.
        batch_size: images per batch, if all have the same size.
        size_multiple, size_offset, smallest_size: the sizes that the network takes, in pixels.
        full_batches: number of devices; each needs an image of every batch. Batches are
            filled up with copies whose masks are 255. None for a smaller last batch.

    Returns: a `tf.data.Dataset` of images (B, H, W, C) float32 in 0..255 and masks (B, H, W) int32,
        or (B, H, W, labels) of a multi-label data set. If the last batch is filled up, each batch
        also has shares (B,) float32, all equal: the factor that makes Keras' mean of the batches'
        losses count each image once.

    Example:

        cells = keras_seg.data.open_dataset("builtin:cells", "val")
        validation = keras_seg.data.validation_pipeline(cells, batch_size=4)
    """
    read = _reader(dataset)

    def load(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image, mask = read(index)
        size = tf.shape(mask)[:2]
        missing = (size_offset - size) % size_multiple
        missing = tf.maximum(missing, smallest_size - size)
        padding = tf.stack([tf.zeros_like(missing), missing], axis=1)
        with_channels = tf.concat([padding, [[0, 0]]], 0)
        image = tf.pad(tf.cast(image, tf.float32), with_channels)
        # padding by dynamic amounts loses the static number of channels
        image.set_shape((None, None, dataset.channels))
        shape = mask.shape
        padding = with_channels if dataset.multi_label else padding
        mask = tf.pad(mask, padding, constant_values=IGNORE_CLASS)
        mask.set_shape(shape)
        return image, mask

    def load_place(index: tf.Tensor, counts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image, mask = load(index)
        return image, tf.where(counts, mask, IGNORE_CLASS)

    one_size = len({dataset[i].mask.shape for i in range(len(dataset))}) == 1
    indices, counts, batch = _places(len(dataset), batch_size, one_size, full_batches)
    samples = tf.data.Dataset.from_tensor_slices((indices, counts)).map(
        load_place, num_parallel_calls=tf.data.AUTOTUNE
    )
    batches = samples.batch(batch)
    shares = None if full_batches is None else _shares(counts, batch)
    if shares is not None:
        batches = tf.data.Dataset.zip(batches, tf.data.Dataset.from_tensor_slices(shares))
        batches = batches.map(lambda pixels, share: (*pixels, share))
    return batches.prefetch(tf.data.AUTOTUNE)


def _shares(counts: np.ndarray, batch: int) -> np.ndarray | None:
    """(batches, batch) share of images that count, divided by its mean; None if all are equal."""
    share = counts.reshape(-1, batch).mean(axis=1) / counts.mean()
    if np.all(share == 1):
        return None
    return np.repeat(share.astype(np.float32)[:, None], batch, axis=1)


def _places(
    length: int, batch_size: int, one_size: bool, devices: int | None
) -> tuple[np.ndarray, np.ndarray, int]:
    """The sample at each place of the validation batches, whether it counts, and the batch size."""
    indices = np.arange(length)
    if devices is None:
        return indices, np.ones(length, bool), batch_size if one_size else 1
    if not one_size:  # each batch is one image and its copies, because sizes differ
        places = np.repeat(indices, devices)
        return places, np.arange(len(places)) % devices == 0, devices
    batch_size = -(-batch_size // devices) * devices
    places = np.arange(-(-length // batch_size) * batch_size)
    return places % length, places < length, batch_size


def _reader(dataset: SegmentationDataset, *, weights: bool = False) -> Callable:
    """A graph function: index → (image (H, W, C) uint8, mask (H, W) int32[, weights float32]).

    The mask of a multi-label data set is (H, W, labels) int32.
    """
    labels = (len(dataset.classes),) if dataset.multi_label else ()

    def read_in_python(index: np.ndarray) -> tuple[np.ndarray, ...]:
        sample = dataset[int(index)]
        pixels = sample.image, sample.mask.astype(np.int32)
        return (*pixels, sample.weights.astype(np.float32)) if weights else pixels

    def read(index: tf.Tensor) -> tuple[tf.Tensor, ...]:
        types = (tf.uint8, tf.int32, tf.float32)[: 3 if weights else 2]
        image, mask, *rest = tf.numpy_function(read_in_python, [index], types)
        image.set_shape((None, None, dataset.channels))
        mask.set_shape((None, None, *labels))
        for each in rest:
            each.set_shape((None, None))
        return image, mask, *rest

    return read
