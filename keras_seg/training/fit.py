"""From a recipe to a trained `model.keras`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from keras_seg import losses, models
from keras_seg.data.cached import CachedDataset
from keras_seg.data.classes import ClassTable
from keras_seg.data.open import open_dataset
from keras_seg.data.pipeline import steps_per_epoch, training_pipeline, validation_pipeline
from keras_seg.data.resized import ResizedDataset
from keras_seg.metrics import MeanIoU
from keras_seg.training import run_folder
from keras_seg.training.callbacks import DrawOverlays, SaveBest, StopAfter
from keras_seg.training.recipe import Recipe


@dataclass(frozen=True)
class TrainingResult:
    """What a training left behind.

    model_path: best model; None if no epoch was completed.
    best_miou, best_epoch: its validation mIoU (0..1) and epoch (from 1).
    epochs: completed epochs.
    interrupted: whether Ctrl-C ended it.
    """

    model_path: Path | None
    best_miou: float | None
    best_epoch: int
    epochs: int
    interrupted: bool


def train(recipe: Recipe) -> TrainingResult:
    """Trains as the recipe says; the best model by validation mIoU is kept in its output folder.

    Writes `model.keras`, `recipe.yaml`, `log.csv` and `overlays/epoch_*.png`. Ctrl-C ends the
    training and keeps what was saved.

    Raises: ValueError, FileNotFoundError, FileExistsError or PermissionError for a recipe, data
        or an output folder that cannot work, before the first step.
    """
    keras.utils.set_random_seed(recipe.seed)
    models.find(recipe.model)  # a wrong name is said before data are read
    train_set, val_set = open_data(recipe, "train"), open_data(recipe, "val")
    check_classes(recipe, train_set.classes)
    for dataset in (train_set, val_set):
        dataset.fill()  # damaged files are named now, not in the middle of an epoch
    model = build_model(recipe, len(train_set.classes))
    folder = run_folder.prepare(recipe)

    steps = steps_per_epoch(train_set, recipe.batch_size)
    model.compile(
        optimizer=make_optimizer(recipe, steps * recipe.epochs),
        loss=losses.get(recipe.loss),
        metrics=[MeanIoU(len(train_set.classes))],
        jit_compile=False,  # XLA's CPU convolutions are 1.6 times slower than TensorFlow's own
    )
    card = models.ModelCard(
        train_set.classes,
        network=recipe.model,
        size_multiple=size_multiple(model),
        image_size=recipe.resize,
    )
    save_best = SaveBest(folder / run_folder.MODEL_NAME, card)
    interrupted = False
    try:
        model.fit(
            training_pipeline(
                train_set,
                crop=recipe.crop,
                batch_size=recipe.batch_size,
                epochs=recipe.epochs,
                augmentation=recipe.augmentation,
                seed=recipe.seed,
            ),
            epochs=recipe.epochs,
            steps_per_epoch=steps,
            shuffle=False,  # the pipeline has its order already
            validation_data=validation_pipeline(
                val_set, batch_size=recipe.batch_size, size_multiple=card.size_multiple
            ),
            callbacks=_callbacks(recipe, folder, val_set, save_best),
            verbose=1 if sys.stdout.isatty() else 2,
        )
    except KeyboardInterrupt:
        interrupted = True
    except tf.errors.OpError as failure:
        # a sample that could not be read comes through the pipeline as text without its type
        raise next(filter(None, (train_set.error, val_set.error)), failure) from None
    return TrainingResult(
        save_best.path if save_best.best_epoch else None,
        save_best.best,
        save_best.best_epoch,
        save_best.epochs,
        interrupted,
    )


def open_data(recipe: Recipe, split: str) -> CachedDataset:
    """The data set of a recipe as the network sees it, kept in memory as far as it fits."""
    classes = None if recipe.classes is None else ClassTable(tuple(recipe.classes))
    dataset = open_dataset(recipe.data, split, classes=classes, channels=recipe.channels)
    if recipe.resize is not None:
        dataset = ResizedDataset(dataset, recipe.resize)
    return CachedDataset(dataset)


def check_classes(recipe: Recipe, classes: ClassTable) -> None:
    """Raises ValueError if the recipe's num_classes contradicts the data's class table."""
    if recipe.num_classes not in (None, len(classes)):
        raise ValueError(
            f"num_classes={recipe.num_classes} contradicts the data: {recipe.data} has "
            f"{len(classes)} classes ({', '.join(classes.names)}). Leave num_classes out, or "
            "correct classes.json."
        )


def build_model(recipe: Recipe, num_classes: int) -> keras.Model:
    """The recipe's network, free in height and width."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16" if recipe.mixed_precision else "float32")
    try:
        model = models.build(
            recipe.model, (None, None, recipe.channels), num_classes, **recipe.model_options
        )
    finally:
        keras.config.set_dtype_policy(policy)
    model.compute_output_shape((None, *recipe.crop, recipe.channels))  # refuses a wrong crop
    return model


def size_multiple(model: keras.Model) -> int:
    """The multiple that a model's images must have in height and width, in pixels."""
    return next((layer.multiple for layer in model.layers if hasattr(layer, "multiple")), 1)


def make_optimizer(recipe: Recipe, total_steps: int) -> keras.optimizers.Optimizer:
    """The recipe's optimizer with its schedule over `total_steps`."""
    rate = recipe.learning_rate
    if recipe.schedule == "poly":
        rate = keras.optimizers.schedules.PolynomialDecay(
            rate, total_steps, end_learning_rate=0.0, power=0.9
        )
    elif recipe.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, total_steps)
    decay = recipe.weight_decay or None
    if recipe.optimizer == "sgd":
        return keras.optimizers.SGD(rate, momentum=0.9, weight_decay=decay)
    if recipe.optimizer == "adamw":
        return keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
    return keras.optimizers.Adam(rate, weight_decay=decay)


def _callbacks(recipe, folder, val_set, save_best):
    callbacks = [save_best, keras.callbacks.CSVLogger(str(folder / run_folder.LOG_NAME))]
    callbacks.append(keras.callbacks.TerminateOnNaN())
    if recipe.overlays:
        overlays = folder / "overlays"
        callbacks.append(
            DrawOverlays(
                overlays, val_set, recipe.overlays, save_best, save_best.card.size_multiple
            )
        )
    if recipe.max_minutes is not None:
        callbacks.append(StopAfter(recipe.max_minutes))
    return callbacks
