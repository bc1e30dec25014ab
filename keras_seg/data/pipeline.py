"""`tf.data` pipelines for `model.fit`."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import tensorflow as tf

from keras_seg.data.augmentation.cut_mix import cut_mix
from keras_seg.data.augmentation.draw import augment
from keras_seg.data.augmentation.options import Augmentation
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.sampling import epoch_order
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
) -> tf.data.Dataset:
    """Shuffled, augmented batches: images (B, crop, C) float32 in 0..255, masks (B, crop) int32.

    And weights (B, crop) float32 in the loss, if the data set's samples have them.

    Every batch is a function of its step, so that a training which goes on at `start_step` sees
    what it would have seen: the order is one of (seed, epoch), each augmentation one of (seed,
    epoch, place in the epoch).

    Args:
        batch_size: samples a step, of all shards together.
        epochs: number of epochs after which the pipeline ends, counted from step 0.
        steps: steps an epoch; None for `steps_per_epoch(dataset, batch_size)`.
        start_step: steps that are left out at the beginning.
        shard: (index, count): this pipeline holds one of `count` equal parts of each batch.
        balance: see `keras_seg.data.sampling.epoch_order`.

    Raises: ValueError if the batch cannot be shared out evenly.
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
    read = _reader(dataset, weights=dataset[0].weights is not None)
    mirrored = dataset.classes.mirrored()

    @lru_cache(maxsize=1)
    def order_of(epoch):
        return epoch_order(dataset, seed, epoch, length=steps * batch_size, balance=balance)

    def order():
        for step in range(start_step, epochs * steps):
            epoch, step_in_epoch = divmod(step, steps)
            first = step_in_epoch * batch_size + index * part
            for position in range(first, first + part):
                yield epoch, order_of(epoch)[position], position

    def load(epoch, index, position):
        image, mask, *weights = read(index)
        key = tf.stack([tf.constant(seed, tf.int32), tf.cast(epoch, tf.int32)])
        key = tf.random.fold_in(key, tf.cast(position, tf.int32))
        return augment(image, mask, key, crop, augmentation, *weights, mirrored=mirrored)

    def mix(step, batch):
        key = tf.stack([tf.constant(seed, tf.int32), tf.cast(step, tf.int32)])
        key = tf.random.fold_in(key, index)  # a worker mixes the samples of its part
        return cut_mix(*batch[:2], key, augmentation.cut_mix, *batch[2:])

    drawn = tf.data.Dataset.from_generator(
        order, output_signature=(tf.TensorSpec((), tf.int64),) * 3
    )
    batches = drawn.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(part, drop_remainder=True)
    if augmentation.cut_mix:
        batches = batches.enumerate(start_step).map(mix, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE)


def steps_per_epoch(dataset: SegmentationDataset, batch_size: int) -> int:
    """Batches that show every image once, but for a remainder smaller than a batch."""
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
    """Every image once, in order and whole; batches of images of one size, the rest one by one.

    Images are padded below and to the right to a multiple of `size_multiple` pixels plus
    `size_offset`, at least `smallest_size`, masks with 255, so that padded pixels do not count.

    Args:
        full_batches: number of devices that each need an image of every batch: batches are filled
            up with copies whose masks are 255 throughout. None to leave the last batch small.
    """
    read = _reader(dataset)

    def load(index):
        image, mask = read(index)
        size = tf.shape(mask)
        missing = (size_offset - size) % size_multiple
        missing = tf.maximum(missing, smallest_size - size)
        padding = tf.stack([tf.zeros_like(missing), missing], axis=1)
        image = tf.pad(tf.cast(image, tf.float32), tf.concat([padding, [[0, 0]]], 0))
        # padding by amounts of the graph forgets the channels
        image.set_shape((None, None, dataset.channels))
        return image, tf.pad(mask, padding, constant_values=IGNORE_CLASS)

    def load_place(index, counts):
        image, mask = load(index)
        return image, tf.where(counts, mask, IGNORE_CLASS)

    one_size = len({dataset[i].mask.shape for i in range(len(dataset))}) == 1
    indices, counts, batch = _places(len(dataset), batch_size, one_size, full_batches)
    samples = tf.data.Dataset.from_tensor_slices((indices, counts)).map(
        load_place, num_parallel_calls=tf.data.AUTOTUNE
    )
    return samples.batch(batch).prefetch(tf.data.AUTOTUNE)


def _places(length: int, batch_size: int, one_size: bool, devices: int | None):
    """Sample of each place of the validation batches, whether it counts, and the batch's size."""
    indices = np.arange(length)
    if devices is None:
        return indices, np.ones(length, bool), batch_size if one_size else 1
    if not one_size:  # one image and copies of it, since a batch has one size
        places = np.repeat(indices, devices)
        return places, np.arange(len(places)) % devices == 0, devices
    batch_size = -(-batch_size // devices) * devices
    places = np.arange(-(-length // batch_size) * batch_size)
    return places % length, places < length, batch_size


def _reader(dataset: SegmentationDataset, *, weights: bool = False):
    """index → (image (H, W, C) uint8, mask (H, W) int32[, weights (H, W) float32]) in the graph."""

    if dataset.multi_label:
        raise ValueError(
            f"Several labels of {dataset.name} may hold at a pixel, and pipelines and `train` take "
            "one class a pixel. Batch the samples yourself and use model.fit with losses and "
            "metrics of multi_label=True."
        )

    def read_in_python(index):
        sample = dataset[int(index)]
        pixels = sample.image, sample.mask.astype(np.int32)
        return (*pixels, sample.weights.astype(np.float32)) if weights else pixels

    def read(index):
        types = (tf.uint8, tf.int32, tf.float32)[: 3 if weights else 2]
        image, *maps = tf.numpy_function(read_in_python, [index], types)
        image.set_shape((None, None, dataset.channels))
        for each in maps:
            each.set_shape((None, None))
        return image, *maps

    return read
