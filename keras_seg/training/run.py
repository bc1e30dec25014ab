"""One training: its network, its folder, and the step at which it starts or resumes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_seg import losses
from keras_seg.data.classes import ClassTable
from keras_seg.data.pipeline import steps_per_epoch
from keras_seg.data.wrappers.cached import CachedDataset
from keras_seg.metrics import MeanIoU
from keras_seg.models.freezing import backbone_layers
from keras_seg.training import run_folder
from keras_seg.training.class_weights import lines, resolved_loss, write_class_weights
from keras_seg.training.engines import Engine
from keras_seg.training.environment import write_environment
from keras_seg.training.history import History
from keras_seg.training.network import build_model, output_channels
from keras_seg.training.optimizers import depthwise_kernels, make_optimizer
from keras_seg.training.outputs import MAIN, at_image_size, output_losses
from keras_seg.training.own_losses import own_metrics
from keras_seg.training.recipe import Recipe
from keras_seg.training.saved_state import SavedState, remove_unfinished
from keras_seg.training.teacher import taught, variables_of_teacher
from keras_seg.training.validation_loss import with_exact_validation

Rewrite = Callable[[keras.Model], keras.Model]
"""Turns the recipe's network, with its initial weights, into the network to train."""


@dataclass(frozen=True)
class Run:
    """Everything that one call of `train` works with.

    Attributes:
        recipe: the recipe.
        engine: the Keras backend and its devices.
        train_set, val_set: the data.
        epoch_steps: steps per epoch.
        network: the network that is saved.
        model: the compiled model that is trained: `network` with outputs at the size of the image.
        metric: validation mIoU of the main output.
        folder: output folder of the run.
        writes: whether this process writes files; only one of several workers does.
        state: the checkpoints.
        history: the metrics of each completed epoch.
        first_step: step of the restored checkpoint; 0 for a new training.
    """

    recipe: Recipe
    engine: Engine
    train_set: CachedDataset
    val_set: CachedDataset
    epoch_steps: int
    network: keras.Model
    model: keras.Model
    metric: MeanIoU
    folder: Path
    writes: bool
    state: SavedState
    history: History
    first_step: int

    @property
    def model_path(self) -> Path:
        """The file of the best model."""
        return self.folder / run_folder.MODEL_NAME

    @property
    def total_steps(self) -> int:
        return self.recipe.epochs * self.epoch_steps

    @property
    def is_finished(self) -> bool:
        """Whether all steps are done, or `early_stop` has ended the training."""
        patience = self.recipe.early_stop
        waited = self.history.epochs_without_progress
        stopped = patience is not None and bool(self.history.rows) and waited >= patience
        return stopped or self.state.step >= self.total_steps


def start_run(
    recipe: Recipe,
    engine: Engine,
    train_set: CachedDataset,
    val_set: CachedDataset,
    rewrite: Rewrite | None,
    held: contextlib.ExitStack,
) -> Run:
    """Builds the network, prepares the folder, and restores the last checkpoint.

    Args:
        held: exit stack that keeps the folder locked until it is closed.

    Raises: as `run_folder.prepare`, `SavedState.restore` and `History`.
    """
    epoch_steps = recipe.steps_per_epoch or steps_per_epoch(train_set, recipe.batch_size)
    _check_executions(recipe.steps_per_execution, epoch_steps)
    loss, counted = resolved_loss(recipe.loss_terms, train_set)
    with engine.scope():
        network = _network(recipe, engine, train_set.classes, rewrite)
        model, metric = _compiled(recipe, engine, network, loss, train_set, epoch_steps)
    writes = engine.writes
    folder = run_folder.prepare(recipe, held, writes=writes)
    if writes:
        write_class_weights(folder, counted)
        sys.stderr.write(lines(counted))
    state = _saved_state(folder, model, (train_set, val_set), writes)
    with engine.scope():
        first_step = state.restore()
    if writes:
        write_environment(folder, engine)
    epochs = first_step // epoch_steps
    run = Run(
        recipe=recipe,
        engine=engine,
        train_set=train_set,
        val_set=val_set,
        epoch_steps=epoch_steps,
        network=network,
        model=model,
        metric=metric,
        folder=folder,
        writes=writes,
        state=state,
        history=History(folder, epochs=epochs, writes=writes, monitor=recipe.monitor),
        first_step=first_step,
    )
    if writes and epochs and not run.model_path.exists():
        raise ValueError(
            f"{run.model_path}, the best model of {epochs} epochs, is gone. Put it back, or pass "
            "--overwrite true to train anew."
        )
    return run


def _saved_state(
    folder: Path, model: keras.Model, data_sets: tuple[CachedDataset, CachedDataset], writes: bool
) -> SavedState:
    checkpoints = folder / run_folder.CHECKPOINTS
    if writes:
        remove_unfinished(checkpoints)
    data = {
        "images": {each.split: len(each) for each in data_sets},
        "classes": list(data_sets[0].classes.names),
    }
    teacher = variables_of_teacher(model)
    return SavedState(checkpoints, model, writes=writes, data=data, without=teacher)


def _network(
    recipe: Recipe,
    engine: Engine,
    classes: ClassTable,
    rewrite: Rewrite | None,
) -> keras.Model:
    network = build_model(
        recipe,
        output_channels(recipe, len(classes)),
        classes=classes.names,
        policy=engine.half_precision if recipe.mixed_precision else "float32",
        synchronized=recipe.sync_batch_norm and engine.replicas > 1,
        tell=_tell if engine.writes else lambda sentence: None,
    )
    return network if rewrite is None else rewrite(network)


def _tell(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


def _compiled(
    recipe: Recipe,
    engine: Engine,
    network: keras.Model,
    loss: str | dict | list,
    train_set: CachedDataset,
    epoch_steps: int,
) -> tuple[keras.Model, MeanIoU]:
    """The model to train, with an optimizer that has its variables, and its metric."""
    model = engine.trainable(at_image_size(network))
    if engine.devices > 1:
        model = with_exact_validation(model)
    model = engine.with_less_memory(model, recipe)
    tell = _tell if engine.writes else lambda sentence: None
    model = taught(model, network, recipe, train_set, tell=tell)
    plain = set()
    if recipe.optimizer_options.head_rate != 1:
        layers = backbone_layers(network)
        plain = {variable.path for layer in layers for variable in layer.weights}
    arguments = output_losses(model, losses.get(loss), auxiliary_weight=recipe.auxiliary_weight)
    metric = miou_metric(recipe, train_set)
    metrics = [metric, *own_metrics(recipe.metrics)]
    several = isinstance(arguments["metrics"], dict)
    arguments["metrics"] = {MAIN: metrics} if several else metrics
    model.compile(
        make_optimizer(recipe, epoch_steps, backbone=plain, depthwise=depthwise_kernels(network)),
        jit_compile=engine.compiles(recipe.jit),
        steps_per_execution=recipe.steps_per_execution,
        **arguments,
    )
    model.optimizer.build(model.trainable_variables)
    return model, metric


def _check_executions(per_execution: int, epoch_steps: int) -> None:
    """Raises ValueError if an epoch would end in the middle of an execution."""
    if epoch_steps % per_execution == 0:
        return
    fitting = max(epoch_steps // per_execution, 1) * per_execution
    raise ValueError(
        f"steps_per_execution={per_execution} does not divide the {epoch_steps} steps of an "
        f"epoch. Set steps_per_epoch, for example to {fitting}, or choose a divisor of "
        f"{epoch_steps}."
    )


def miou_metric(recipe: Recipe, train_set: CachedDataset) -> MeanIoU:
    """The mIoU of the main output."""
    return MeanIoU(
        len(train_set.classes),
        multi_label=train_set.multi_label,
        from_logits=recipe.model_options.get("activation") is None,
    )
