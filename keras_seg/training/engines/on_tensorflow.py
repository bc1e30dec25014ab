"""Training on TensorFlow: one device, or the devices of a strategy of `tf.distribute`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Self

import keras
import tensorflow as tf

from keras_seg.training.engines.accumulation import accumulating
from keras_seg.training.engines.engine import Engine
from keras_seg.training.engines.multi_worker import trainable_by_workers
from keras_seg.training.engines.recomputation import recomputing
from keras_seg.training.engines.strategies import make_strategy
from keras_seg.training.failures import WorkerLost
from keras_seg.training.recipe import Recipe


class TensorFlowEngine(Engine):
    """Trains in the scope of a strategy.

    Args:
        strategy: how TensorFlow distributes the training; None for one device.
    """

    name = "tensorflow"

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self.strategy = strategy
        self.devices = 1 if strategy is None else strategy.num_replicas_in_sync
        self.replicas = self.devices
        self._on_tpu = isinstance(strategy, tf.distribute.TPUStrategy)
        if self._on_tpu:
            self.half_precision = "mixed_bfloat16"
        self.several_workers = _is_multi_worker(strategy)
        self.writes = not self.several_workers or _is_chief(strategy)

    @classmethod
    def for_recipe(cls, recipe: Recipe) -> Self:
        engine = cls(make_strategy(recipe.strategy))
        if recipe.steps_per_execution > 1 and engine.devices > 1:
            raise ValueError(
                f"steps_per_execution={recipe.steps_per_execution} contradicts {engine.devices} "
                "devices, on which Keras runs one step at a time (keras#19246). Leave it out, or "
                "pass --strategy none."
            )
        return engine

    @staticmethod
    def checkpoint(variables: Sequence[keras.Variable]) -> TensorFlowCheckpoint:
        return TensorFlowCheckpoint(variables)

    @staticmethod
    def update_variables(model: keras.Model) -> None:
        """Does nothing: `fit` changes the variables themselves."""

    def set_up(self, *, deterministic: bool) -> None:
        if deterministic:
            tf.config.experimental.enable_op_determinism()

    def has_gpu(self) -> bool:
        return bool(tf.config.list_physical_devices("GPU"))

    def compiles(self, jit: bool) -> bool:
        """Off on several devices, where XLA cannot access the variables of the others."""
        if jit and self.devices > 1 and not self._on_tpu:
            sys.stderr.write("jit is switched off: XLA does not train on several devices here.\n")
            return False
        return jit

    def scope(self) -> AbstractContextManager:
        return nullcontext() if self.strategy is None else self.strategy.scope()

    def trainable(self, model: keras.Model) -> keras.Model:
        return trainable_by_workers(model) if self.several_workers else model

    def with_less_memory(self, model: keras.Model, recipe: Recipe) -> keras.Model:
        if recipe.recompute:
            model = recomputing(model, recipe.crop)
        if recipe.gradient_accumulation > 1:
            model = accumulating(model, recipe.gradient_accumulation)
        return model

    def training_batches(
        self, make: Callable[[tuple[int, int]], tf.data.Dataset], batch_size: int
    ) -> tf.data.Dataset | tf.distribute.DistributedDataset:
        if self.strategy is None or not self.several_workers:
            return make((0, 1))

        def worker_batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
            shard = context.input_pipeline_id, context.num_input_pipelines
            device_batch = context.get_per_replica_batch_size(batch_size)
            return make(shard).rebatch(device_batch, drop_remainder=True)

        return self.strategy.distribute_datasets_from_function(worker_batches)

    @contextmanager
    def failures_explained(self, kept: Callable[[], str] = str) -> Iterator[None]:
        """Raises WorkerLost for the errors that TensorFlow raises if another worker is gone."""
        try:
            yield
        except (tf.errors.OpError, RuntimeError) as error:
            if not self.several_workers or not _is_about_a_worker(error):
                raise
            reason = str(error).strip().splitlines()[0].rpartition("}} ")[2]
            raise WorkerLost(
                f"Another worker has ended or cannot be reached ({reason}). {kept()} Stop the "
                "workers that still run, and start the same command on all of them: the training "
                "resumes."
            ) from error


class TensorFlowCheckpoint:
    """Variables as one `tf.train.Checkpoint`, which can also read distributed variables."""

    def __init__(self, variables: Sequence[keras.Variable]):
        self._checkpoint = tf.train.Checkpoint(variables=[each.value for each in variables])

    def write(self, folder: Path) -> None:
        """Writes the values into a folder."""
        self._checkpoint.write(str(folder / "state"))

    def read(self, folder: Path) -> None:
        """Sets the variables to the values in a folder."""
        reader = self._checkpoint.read(str(folder / "state"))
        reader.assert_existing_objects_matched().expect_partial()


def _is_multi_worker(strategy: tf.distribute.Strategy | None) -> bool:
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and bool(
        strategy.extended._in_multi_worker_mode()
    )


def _is_chief(strategy: tf.distribute.MultiWorkerMirroredStrategy) -> bool:
    resolver = strategy.cluster_resolver
    return resolver.task_type in (None, "chief") or (
        resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs
    )


def _is_about_a_worker(error: Exception) -> bool:
    lost = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError)
    return isinstance(error, lost) or "Collective ops is aborted" in str(error)
