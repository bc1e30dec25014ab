"""`tf.data` pipelines for `model.fit`."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from keras_seg.data.augment import augment
from keras_seg.data.augmentation import Augmentation
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.names import IGNORE_CLASS


def training_pipeline(
    dataset: SegmentationDataset,
    *,
    crop: tuple[int, int],
    batch_size: int,
    epochs: int,
    augmentation: Augmentation | None = None,
    seed: int = 0,
) -> tf.data.Dataset:
    """Shuffled, augmented batches: images (B, crop, C) float32 in 0..255, masks (B, crop) int32.

    Holds `epochs` x `steps_per_epoch(dataset, batch_size)` batches. The order is a function of
    (seed, epoch) and each augmentation one of (seed, epoch, index).
    """
    augmentation = augmentation or Augmentation()
    samples_per_epoch = steps_per_epoch(dataset, batch_size) * batch_size
    read = _reader(dataset)

    def order():
        for epoch in range(epochs):
            permutation = np.random.default_rng([seed, epoch]).permutation(len(dataset))
            # A data set smaller than a batch is seen more than once in an epoch.
            for position in range(samples_per_epoch):
                yield epoch, permutation[position % len(dataset)], position

    def load(epoch, index, position):
        image, mask = read(index)
        key = tf.stack([tf.constant(seed, tf.int32), tf.cast(epoch, tf.int32)])
        key = tf.random.fold_in(key, tf.cast(position, tf.int32))
        return augment(image, mask, key, crop, augmentation)

    drawn = tf.data.Dataset.from_generator(
        order, output_signature=(tf.TensorSpec((), tf.int64),) * 3
    )
    batches = drawn.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(
        batch_size, drop_remainder=True
    )
    return batches.prefetch(tf.data.AUTOTUNE)


def steps_per_epoch(dataset: SegmentationDataset, batch_size: int) -> int:
    """Batches that show every image once, but for a remainder smaller than a batch."""
    return max(1, len(dataset) // batch_size)


def validation_pipeline(
    dataset: SegmentationDataset, *, batch_size: int, size_multiple: int = 1
) -> tf.data.Dataset:
    """Every image once, in order and whole; batches of images of one size, the rest one by one.

    Images are padded below and to the right to a multiple of `size_multiple` pixels, masks with
    255, so that padded pixels do not count.
    """
    read = _reader(dataset)

    def load(index):
        image, mask = read(index)
        size = tf.shape(mask)
        missing = (-size) % size_multiple
        padding = tf.stack([tf.zeros_like(missing), missing], axis=1)
        image = tf.pad(tf.cast(image, tf.float32), tf.concat([padding, [[0, 0]]], 0))
        return image, tf.pad(mask, padding, constant_values=IGNORE_CLASS)

    indices = tf.data.Dataset.range(len(dataset))
    samples = indices.map(load, num_parallel_calls=tf.data.AUTOTUNE)
    one_size = len({dataset[i].mask.shape for i in range(len(dataset))}) == 1
    return samples.batch(batch_size if one_size else 1).prefetch(tf.data.AUTOTUNE)


def _reader(dataset: SegmentationDataset):
    """index → (image (H, W, C) uint8, mask (H, W) int32) in the graph."""

    def read_in_python(index):
        sample = dataset[int(index)]
        return sample.image, sample.mask.astype(np.int32)

    def read(index):
        image, mask = tf.numpy_function(read_in_python, [index], (tf.uint8, tf.int32))
        image.set_shape((None, None, dataset.channels))
        mask.set_shape((None, None))
        return image, mask

    return read
