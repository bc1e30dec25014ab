"""From a recipe to a trained `model.keras`: `train` calls the steps in their order."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_seg import models
from keras_seg.data.as_dataset import Data
from keras_seg.models.sizes import size_rule
from keras_seg.tested_versions import tell_if_untested
from keras_seg.training import run_folder
from keras_seg.training.allocator import keep_freed_memory
from keras_seg.training.batches import global_batches, training_batches, validation_batches
from keras_seg.training.callbacks import (
    AverageWhileValidating,
    EpochLog,
    PlateauRate,
    StepCounter,
    StopAfter,
    StopEarly,
    TellDuration,
    catching_signals,
)
from keras_seg.training.checks import check_before_data, check_recipe, check_with_data
from keras_seg.training.data_sets import line_about_cache, open_splits
from keras_seg.training.engines import Engine, engine_for
from keras_seg.training.failures import errors_explained, kept_checkpoint
from keras_seg.training.first_batch import check_first_batches
from keras_seg.training.own_callbacks import own_callbacks
from keras_seg.training.pictures import DrawOverlays, SaveBest
from keras_seg.training.progress_bar import ProgressBar
from keras_seg.training.recalibrated_run import recalibrate_best
from keras_seg.training.recipe import Recipe
from keras_seg.training.run import Rewrite, Run, start_run
from keras_seg.training.start_line import start_line
from keras_seg.training.tensorboard import TensorBoard


@dataclass(frozen=True)
class TrainingResult:
    """The result of `train`.

    Attributes:
        model_path: file of the best model; None if no epoch was completed.
        best_miou: validation mIoU of the best model, 0..1; None if no epoch was completed.
        best_epoch: epoch of the best model, from 1; 0 if no epoch was completed.
        epochs: number of completed epochs.
        interrupted: whether Ctrl-C ended the training.
        finished: whether nothing is left to train. If not, the same recipe resumes.
        new_steps: steps trained by this call; 0 if the training was finished before.
    """

    model_path: Path | None
    best_miou: float | None
    best_epoch: int
    epochs: int
    interrupted: bool
    finished: bool
    new_steps: int


def train(
    recipe: Recipe,
    *,
    rewrite: Rewrite | None = None,
    data: tuple[Data, Data] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> TrainingResult:
    """Trains a network and keeps the model with the best validation mIoU.

    Runs on Keras' backends TensorFlow and JAX. Writes `model.keras`, `recipe.yaml`,
    `environment.json`, `log.csv`, `log.jsonl`, `overlays/epoch_*.png`, `tensorboard/` and
    `checkpoints/` to the output folder. Called again with the same recipe, it resumes from the last
    checkpoint with the same batches as an uninterrupted training. Ctrl-C saves a checkpoint and
    stops.

    Args:
        recipe: data, network, loss, optimizer and output folder.
        rewrite: function that replaces the recipe's network, which has its initial weights, before
            training.
        data: training and validation data in place of those that the recipe names: each a data
            set, arrays (images, masks), a tf.data.Dataset, a PyDataset, a list of (image, mask), or
            the name of a data set. They are held in memory. `recipe.data` is then any name.
        callbacks: Keras callbacks that `model.fit` calls beside those of the recipe, such as those
            of W&B and MLflow. With several workers, each calls them. Their state is not saved for
            resuming.

    Returns: path and score of the best model, and how the training ended.

    Raises: before the first step, ValueError, FileNotFoundError, FileExistsError or PermissionError
        for a recipe, data or an output folder that cannot work, and BlockingIOError if another
        training uses the folder. Later, Diverged if the loss is not finite, OSError if the disk is
        full, and WorkerLost if another worker has ended. Saved files are kept.

    Example:

        recipe = keras_seg.training.Recipe(
            data="builtin:cells", output="runs/cells", model_options={"widths": [4, 8]}, epochs=1
        )
        result = keras_seg.training.train(recipe)
        print(result.best_miou, result.model_path)
    """
    check_recipe(recipe)
    tell_if_untested()
    callbacks = own_callbacks(recipe.callbacks, callbacks)
    engine = engine_for(recipe)
    check_before_data(recipe, engine)
    _set_up_process(recipe, engine)
    given = _pair_of(data)
    tell = sys.stderr.write if engine.writes else None
    train_set, val_set = open_splits(recipe, given, tell=tell)
    check_with_data(recipe, train_set.classes, multi_label=train_set.multi_label)
    for dataset in (train_set, val_set):
        dataset.fill()  # damaged files are reported now, not in the middle of an epoch
        if tell is not None:
            tell(line_about_cache(dataset, recipe))
    with engine.running(), contextlib.ExitStack() as held:
        with engine.failures_explained():
            run = start_run(recipe, engine, train_set, val_set, rewrite, held)

        def kept() -> str:
            return kept_checkpoint(run.state.step)

        with engine.failures_explained(kept), errors_explained(recipe.output, kept):
            return _fit(run, callbacks)


def _pair_of(data: tuple[Data, Data] | None) -> tuple[Data | None, Data | None]:
    if data is None:
        return None, None
    if not isinstance(data, tuple | list) or len(data) != 2:
        raise ValueError(
            "data is (training data, validation data), such as data=((images, masks), "
            f"(validation_images, validation_masks)). Received: {type(data).__name__}"
        )
    return data[0], data[1]


def _set_up_process(recipe: Recipe, engine: Engine) -> None:
    engine.set_up(deterministic=recipe.deterministic)
    keras.utils.set_random_seed(recipe.seed)
    if not engine.has_gpu():
        keep_freed_memory()


def _fit(run: Run, own: list[keras.callbacks.Callback]) -> TrainingResult:
    """Trains the remaining steps of a run."""
    if run.is_finished:
        recalibrate_best(run)  # unless the call that trained it has
        return _result(run, interrupted=False)
    check_first_batches(
        global_batches(run, run.first_step),  # equal in all workers: all of them refuse, or none
        run.model,
        run.train_set,
        replicas=run.engine.replicas * run.recipe.gradient_accumulation,
        tells=run.writes,
    )
    if run.writes:
        sys.stderr.write(f"{start_line(run)}\n")
    if run.first_step:
        sys.stderr.write(f"Resuming after step {run.first_step} of {run.total_steps}.\n")
    steps = StepCounter(
        run.state,
        epoch_steps=run.epoch_steps,
        first_step=run.first_step,
        every=run.recipe.checkpoint_steps,
        per_call=run.recipe.steps_per_execution,
    )
    callbacks, interrupted = _callbacks(run, steps, own), False
    try:
        with catching_signals(steps):
            # An interrupted epoch has fewer steps left than the others.
            if run.first_step % run.epoch_steps:
                _fit_epochs(run, steps, callbacks, only_one=True)
            if not run.is_finished and not run.model.stop_training:
                _fit_epochs(run, steps, callbacks)
    except KeyboardInterrupt:
        interrupted = True
    except Exception:
        # tf.data passes on the text of a reader's error, without its type
        unreadable = run.train_set.error or run.val_set.error
        if unreadable is None:
            raise
        raise unreadable from None
    if run.is_finished and not interrupted:
        recalibrate_best(run)
    return _result(run, interrupted)


def _fit_epochs(
    run: Run,
    steps: StepCounter,
    callbacks: list[keras.callbacks.Callback],
    *,
    only_one: bool = False,
) -> None:
    """Calls `model.fit` for all remaining epochs, or for the rest of the current one."""
    epoch, done = divmod(steps.step, run.epoch_steps)
    verbose = 0 if not run.writes else 1 if sys.stdout.isatty() else 2
    run.model.fit(
        training_batches(run, steps.step),
        initial_epoch=epoch,
        epochs=epoch + 1 if only_one else run.recipe.epochs,
        steps_per_epoch=run.epoch_steps - done,
        shuffle=False,  # the pipeline shuffles
        validation_data=validation_batches(run),
        callbacks=[*callbacks, ProgressBar()] if verbose == 1 else callbacks,
        verbose=verbose,
    )


def _callbacks(
    run: Run, steps: StepCounter, own: list[keras.callbacks.Callback]
) -> list[keras.callbacks.Callback]:
    recipe, history = run.recipe, run.history
    callbacks: list[keras.callbacks.Callback] = [
        EpochLog(history, run.train_set.classes.names, run.metric)
    ]
    if recipe.schedule == "plateau":
        callbacks.append(PlateauRate(history, recipe))
    if recipe.optimizer_options.ema is not None:
        callbacks.append(AverageWhileValidating())
    if run.writes:
        callbacks += [*_writers(run), _duration(run)]
    if recipe.early_stop is not None:
        callbacks.append(StopEarly(history, recipe.early_stop))
    if recipe.max_minutes is not None:
        callbacks.append(StopAfter(recipe.max_minutes))
    return [*callbacks, *own, steps]  # the checkpoint at the end of an epoch comes last


def _duration(run: Run) -> TellDuration:
    return TellDuration(run.total_steps - run.first_step, run.recipe.steps_per_execution)


def _writers(run: Run) -> list[keras.callbacks.Callback]:
    card = models.ModelCard(
        run.train_set.classes,
        network=run.recipe.model,
        size_multiple=size_rule(run.network)[0],
        image_size=run.recipe.resize,
        value_range=run.train_set.value_range,
        backend=run.engine.name,
        multi_label=run.train_set.multi_label,
        nodata=run.train_set.nodata,
    )
    writers: list[keras.callbacks.Callback] = [
        SaveBest(run.model_path, run.network, card, run.history)
    ]
    overlays = None
    if run.recipe.overlays:
        overlays = DrawOverlays(
            run.folder / run_folder.OVERLAYS,
            run.val_set,
            run.recipe.overlays,
            run.network,
            run.history,
        )
        writers.append(overlays)
    tensorboard = TensorBoard(run.folder / run_folder.TENSORBOARD, run.history, overlays)
    return [*writers, tensorboard]


def _result(run: Run, interrupted: bool) -> TrainingResult:
    best_miou, best_epoch = run.history.best
    return TrainingResult(
        model_path=run.model_path if best_epoch else None,
        best_miou=best_miou,
        best_epoch=best_epoch,
        epochs=len(run.history.rows),
        interrupted=interrupted,
        finished=run.is_finished,
        new_steps=run.state.step - run.first_step,
    )
