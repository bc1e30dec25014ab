"""From a recipe to a trained `model.keras`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from keras_seg import losses, models
from keras_seg.data.cached import CachedDataset
from keras_seg.data.pipeline import steps_per_epoch, training_pipeline, validation_pipeline
from keras_seg.models.sizes import size_rule
from keras_seg.tested_versions import tell_if_untested
from keras_seg.training import run_folder, strategies
from keras_seg.training.allocator import keep_freed_memory
from keras_seg.training.callbacks import (
    AverageWhileValidating,
    PlateauRate,
    Rows,
    Steps,
    StopAfter,
    StopEarly,
    catching_signals,
)
from keras_seg.training.class_weights import (
    check_options,
    lines,
    resolved_loss,
    write_class_weights,
)
from keras_seg.training.contradictions import check_loss, check_recipe
from keras_seg.training.failures import errors_explained, kept, lost_workers_explained
from keras_seg.training.first_batch import check_first_batches
from keras_seg.training.history import History
from keras_seg.training.multi_worker import trainable_by_workers
from keras_seg.training.network import (
    backbone_layers,
    build_model,
    check_classes,
    check_network,
    open_data,
)
from keras_seg.training.optimizers import make_optimizer
from keras_seg.training.outputs import at_image_size, output_losses, output_masks
from keras_seg.training.pictures import DrawOverlays, SaveBest, TensorBoard
from keras_seg.training.recipe import Recipe
from keras_seg.training.saved_state import SavedState, remove_unfinished

__all__ = ["TrainingResult", "build_model", "check_classes", "open_data", "train"]


@dataclass(frozen=True)
class TrainingResult:
    """What a training left behind.

    model_path: best model; None if no epoch was completed.
    best_miou, best_epoch: its validation mIoU (0..1) and epoch (from 1).
    epochs: completed epochs.
    interrupted: whether Ctrl-C ended it.
    finished: whether nothing is left to train; otherwise the same recipe goes on.
    new_steps: steps that this call has trained; 0 if the training was finished before.
    """

    model_path: Path | None
    best_miou: float | None
    best_epoch: int
    epochs: int
    interrupted: bool
    finished: bool
    new_steps: int


def train(
    recipe: Recipe, *, rewrite: Callable[[keras.Model], keras.Model] | None = None
) -> TrainingResult:
    """Trains as the recipe says; the best model by validation mIoU is kept in its output folder.

    Writes `model.keras`, `recipe.yaml`, `log.csv`, `log.jsonl`, `overlays/epoch_*.png`,
    `tensorboard/` and `checkpoints/`. Called again with the same recipe it goes on from the last
    checkpoint, as if it had never stopped. Ctrl-C ends it with a checkpoint.

    rewrite: makes the network to train of the recipe's, which has its initial weights already.

    Raises: ValueError, FileNotFoundError, FileExistsError or PermissionError for a recipe, data
        or an output folder that cannot work, before the first step; Diverged if the loss
        is no number; BlockingIOError if a training is running in that folder; OSError if the disk
        is full; WorkerLost if another worker has ended. What was saved before stays.
    """
    check_recipe(recipe)
    tell_if_untested()
    strategy = strategies.make_strategy(recipe.strategy)
    strategies.check_batch(recipe.batch_size, strategy)
    check_network(recipe)  # before data are read
    check_options(recipe.loss)
    if recipe.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(recipe.seed)
    if not tf.config.list_physical_devices("GPU"):
        keep_freed_memory()
    train_set, val_set = open_data(recipe, "train"), open_data(recipe, "val")
    check_classes(recipe, train_set.classes)
    check_loss(recipe, len(train_set.classes), train_set.classes.names)
    for dataset in (train_set, val_set):
        dataset.fill()  # damaged files are named now, not in the middle of an epoch
    several = strategies.is_multi_worker(strategy)
    with contextlib.ExitStack() as held:
        with lost_workers_explained(several):
            run = _Run(recipe, strategy, train_set, val_set, rewrite, held)
        explained = errors_explained(recipe.output, run.state)
        with lost_workers_explained(several, lambda: kept(run.state)), explained:
            return run.fit()


class _Run:
    """One call of `train`: network, optimizer and what was restored."""

    def __init__(
        self,
        recipe: Recipe,
        strategy,
        train_set: CachedDataset,
        val_set: CachedDataset,
        rewrite,
        held: contextlib.ExitStack,
    ):
        self.recipe, self.strategy, self.rewrite = recipe, strategy, rewrite
        self.train_set, self.val_set = train_set, val_set
        self.epoch_steps = recipe.steps_per_epoch or steps_per_epoch(train_set, recipe.batch_size)
        self.num_classes = len(train_set.classes)
        self.loss, counted = resolved_loss(recipe.loss, train_set)
        with strategies.scope(strategy):
            self._build()
        writes = strategies.is_chief(strategy)
        self.folder = run_folder.prepare(recipe, held, writes=writes)
        checkpoints = self.folder / run_folder.CHECKPOINTS
        if writes:
            write_class_weights(self.folder, counted)
            sys.stderr.write(lines(counted))
            remove_unfinished(checkpoints)
        data = {
            "images": {each.split: len(each) for each in (train_set, val_set)},
            "classes": list(train_set.classes.names),
        }
        self.state = SavedState(checkpoints, self.model, writes=writes, data=data)
        with strategies.scope(strategy):
            self.first_step = self.state.restore()
        done = self.first_step // self.epoch_steps
        self.history = History(self.folder, epochs=done, writes=writes)
        model = self.folder / run_folder.MODEL_NAME
        if writes and done and not model.exists():
            raise ValueError(
                f"{model}, the best model of {done} epochs, is gone. Put it back, or pass "
                "--overwrite true to train anew."
            )
        self.writes = writes

    def _build(self):
        recipe, several = self.recipe, strategies.replicas(self.strategy) > 1
        tpu = isinstance(self.strategy, tf.distribute.TPUStrategy)
        self.network = build_model(
            recipe,
            self.num_classes,
            policy="mixed_bfloat16" if tpu and recipe.mixed_precision else None,
            synchronized=recipe.sync_batch_norm and several,
        )
        if self.rewrite is not None:
            self.network = self.rewrite(self.network)
        self.model = at_image_size(self.network)
        if strategies.is_multi_worker(self.strategy):
            self.model = trainable_by_workers(self.model)
        plain = set()
        if recipe.optimizer_options.head_rate != 1:
            layers = backbone_layers(self.network, recipe)
            plain = {variable.path for layer in layers for variable in layer.weights}
        arguments = output_losses(
            self.model,
            losses.get(self.loss),
            auxiliary_weight=recipe.auxiliary_weight,
            num_classes=self.num_classes,
        )
        metrics = arguments["metrics"]
        (self.metric,) = metrics["logits"] if isinstance(metrics, dict) else metrics
        self.model.compile(
            make_optimizer(recipe, self.epoch_steps, backbone=plain),
            jit_compile=strategies.jit_of(recipe.jit, self.strategy),
            **arguments,
        )
        self.model.optimizer.build(self.model.trainable_variables)

    def fit(self) -> TrainingResult:
        if self._is_finished():
            return self._result(interrupted=False)
        self._check_first_batches()
        if self.first_step:
            sys.stderr.write(f"Going on after step {self.first_step} of {self._total()}.\n")
        self.steps = Steps(
            self.state,
            epoch_steps=self.epoch_steps,
            first_step=self.first_step,
            every=self.recipe.checkpoint_steps,
        )
        callbacks, interrupted = self._callbacks(), False
        try:
            with catching_signals(self.steps):
                # An epoch that was broken off has fewer steps than the others.
                if self.first_step % self.epoch_steps:
                    self._fit_epochs(callbacks, first=True)
                if not self._is_finished() and not self.model.stop_training:
                    self._fit_epochs(callbacks)
        except KeyboardInterrupt:
            interrupted = True
        except tf.errors.OpError as failure:
            # a sample that could not be read comes through the pipeline as text without its type
            errors = (self.train_set.error, self.val_set.error)
            raise next(filter(None, errors), failure) from None
        return self._result(interrupted)

    def _check_first_batches(self):
        """The same batches in every worker, so that all of them refuse or none."""
        check_first_batches(
            self._batches(self.first_step),
            self.model,
            self.train_set,
            replicas=strategies.replicas(self.strategy),
            tells=self.writes,
        )

    def _fit_epochs(self, callbacks, *, first: bool = False):
        epoch, done = divmod(self.steps.step, self.epoch_steps)
        self.model.fit(
            self._training_data(self.steps.step),
            initial_epoch=epoch,
            epochs=epoch + 1 if first else self.recipe.epochs,
            steps_per_epoch=self.epoch_steps - done,
            shuffle=False,  # the pipeline has its order already
            validation_data=self._validation_data(),
            callbacks=callbacks,
            verbose=0 if not self.writes else 1 if sys.stdout.isatty() else 2,
        )

    def _batches(self, start_step: int, shard: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        return training_pipeline(
            self.train_set,
            crop=self.recipe.crop,
            batch_size=self.recipe.batch_size,
            epochs=self.recipe.epochs,
            augmentation=self.recipe.augmentation,
            seed=self.recipe.seed,
            steps=self.epoch_steps,
            start_step=start_step,
            shard=shard,
            balance=self.recipe.balance,
        ).map(output_masks(self.model), num_parallel_calls=tf.data.AUTOTUNE)

    def _training_data(self, start_step: int):
        def pipeline(context=None):
            if context is None:
                return self._batches(start_step)
            shard = context.input_pipeline_id, context.num_input_pipelines
            batches = self._batches(start_step, shard)
            # The rest of the way to one batch a device.
            return batches.rebatch(
                context.get_per_replica_batch_size(self.recipe.batch_size), drop_remainder=True
            )

        if not strategies.is_multi_worker(self.strategy):
            return pipeline()
        return self.strategy.distribute_datasets_from_function(pipeline)

    def _validation_data(self):
        multiple, offset, smallest = size_rule(self.network)
        several = strategies.replicas(self.strategy)
        batches = validation_pipeline(
            self.val_set,
            batch_size=self.recipe.batch_size,
            size_multiple=multiple,
            size_offset=offset,
            smallest_size=smallest,
            full_batches=several if several > 1 else None,
        ).map(output_masks(self.model), num_parallel_calls=tf.data.AUTOTUNE)
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = (
            tf.data.experimental.AutoShardPolicy.DATA
        )
        return batches.with_options(options)

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        recipe, history = self.recipe, self.history
        callbacks = [Rows(history, self.train_set.classes.names, self.metric)]
        if recipe.schedule == "plateau":
            callbacks.append(PlateauRate(history, recipe))
        if recipe.optimizer_options.ema is not None:
            callbacks.append(AverageWhileValidating())
        if self.writes:
            callbacks += self._writers()
        if recipe.early_stop is not None:
            callbacks.append(StopEarly(history, recipe.early_stop))
        if recipe.max_minutes is not None:
            callbacks.append(StopAfter(recipe.max_minutes))
        return [*callbacks, self.steps]  # the checkpoint of an epoch comes last

    def _writers(self):
        card = models.ModelCard(
            self.train_set.classes,
            network=self.recipe.model,
            size_multiple=size_rule(self.network)[0],
            image_size=self.recipe.resize,
            value_range=self.train_set.value_range,
        )
        path = self.folder / run_folder.MODEL_NAME
        writers = [SaveBest(path, self.network, card, self.history)]
        overlays = None
        if self.recipe.overlays:
            overlays = DrawOverlays(
                self.folder / run_folder.OVERLAYS,
                self.val_set,
                self.recipe.overlays,
                self.network,
                self.history,
            )
            writers.append(overlays)
        tensorboard = TensorBoard(self.folder / run_folder.TENSORBOARD, self.history, overlays)
        return [*writers, tensorboard]

    def _total(self) -> int:
        return self.recipe.epochs * self.epoch_steps

    def _is_finished(self) -> bool:
        patience = self.recipe.early_stop
        waited = self.history.epochs_without_progress
        stopped = patience is not None and bool(self.history.rows) and waited >= patience
        return stopped or self.state.step >= self._total()

    def _result(self, interrupted: bool) -> TrainingResult:
        best, best_epoch = self.history.best
        return TrainingResult(
            self.folder / run_folder.MODEL_NAME if best_epoch else None,
            best,
            best_epoch,
            len(self.history.rows),
            interrupted,
            self._is_finished(),
            self.state.step - self.first_step,
        )
