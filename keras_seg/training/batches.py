"""The batches of a training, for one device or for several workers."""

from __future__ import annotations

import tensorflow as tf

from keras_seg.data.pipeline import training_pipeline, validation_pipeline
from keras_seg.data.transform import transform_of
from keras_seg.models.sizes import size_rule
from keras_seg.training import strategies
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


def training_batches(
    run: Run, start_step: int
) -> tf.data.Dataset | tf.distribute.DistributedDataset:
    """Training batches from `start_step` on, as `model.fit` of this worker takes them."""
    if not strategies.is_multi_worker(run.strategy):
        return global_batches(run, start_step)

    def worker_batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
        shard = context.input_pipeline_id, context.num_input_pipelines
        device_batch = context.get_per_replica_batch_size(run.recipe.batch_size)
        return global_batches(run, start_step, shard).rebatch(device_batch, drop_remainder=True)

    return run.strategy.distribute_datasets_from_function(worker_batches)


def validation_batches(run: Run) -> tf.data.Dataset:
    """Every validation image once."""
    multiple, offset, smallest = size_rule(run.network)
    devices = strategies.replicas(run.strategy)
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
