"""The batches of a training, read and augmented by `tf.data` on every Keras backend."""

from __future__ import annotations

from functools import partial
from typing import Any

import tensorflow as tf

from keras_seg.data.pipeline import training_pipeline, validation_pipeline
from keras_seg.data.transform import transform_of
from keras_seg.models.sizes import size_rule
from keras_seg.training.outputs import output_masks
from keras_seg.training.run import Run


def global_batches(run: Run, start_step: int, shard: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
    """Training batches from `start_step` on, of all devices together.

    Args:
        shard: (index, count) to get one of `count` equal parts of each batch.
    """
    recipe = run.recipe
    return training_pipeline(
        run.train_set,
        crop=recipe.crop,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        augmentation=recipe.augmentation,
        seed=recipe.seed,
        steps=run.epoch_steps,
        start_step=start_step,
        shard=shard,
        balance=recipe.balance,
        transform=None if recipe.transform is None else transform_of(recipe.transform),
    ).map(output_masks(run.model), num_parallel_calls=tf.data.AUTOTUNE)


def training_batches(run: Run, start_step: int) -> Any:
    """Training batches from `start_step` on, as `model.fit` of this worker takes them."""
    make = partial(global_batches, run, start_step)
    return run.engine.training_batches(make, run.recipe.batch_size)


def validation_batches(run: Run) -> tf.data.Dataset:
    """Every validation image once."""
    multiple, offset, smallest = size_rule(run.network)
    devices = run.engine.devices
    batches = validation_pipeline(
        run.val_set,
        batch_size=run.recipe.batch_size,
        size_multiple=multiple,
        size_offset=offset,
        smallest_size=smallest,
        full_batches=devices if devices > 1 else None,
    ).map(output_masks(run.model), num_parallel_calls=tf.data.AUTOTUNE)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options)
