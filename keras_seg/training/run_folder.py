"""The folder that a training writes to."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from keras_seg.atomic_files import clear_abandoned, only_user, write_text
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.given import images_of_folder
from keras_seg.data.open import open_dataset
from keras_seg.training.recipe import RECIPE_NAME, Recipe
from keras_seg.training.records import differences, to_record

MODEL_NAME = "model.keras"
CHECKPOINTS = "checkpoints"
OVERLAYS = "overlays"
TENSORBOARD = "tensorboard"
CLASS_WEIGHTS_NAME = "class_weights.json"
MADE = (
    *(MODEL_NAME, RECIPE_NAME, CLASS_WEIGHTS_NAME, "log.csv", "log.jsonl"),
    *(CHECKPOINTS, OVERLAYS, TENSORBOARD),
)
"""What a training leaves, and `overwrite` removes."""
FREE = {"output", "overwrite", "max_minutes", "checkpoint_steps", "overlays", "strategy"}
"""Entries that may change when a training goes on, since no trained value depends on them."""
LENGTHS = {"epochs", "early_stop", "schedule", "schedule_options", "learning_rate"}
"""Entries that change when a training is to go on for longer."""
BY_EPOCH = ("constant", "step", "plateau")
"""Schedules whose rate does not depend on the number of epochs: such a run can be made longer."""


def prepare(recipe: Recipe, held: contextlib.ExitStack, *, writes: bool = True) -> Path:
    """Makes the folder and writes the recipe as resolved; refuses before any work is done.

    A run of the same recipe is left as it is, so that it goes on; also for more epochs, if the rate
    of its steps does not depend on their number. Until `held` is left, no other
    process can train there.

    Raises: BlockingIOError if another training is running there; FileExistsError if a run of
        another recipe lies there and may not be replaced; NotADirectoryError or PermissionError if
        nothing can be written there.
    """
    folder = Path(recipe.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(
            f"output {folder} cannot be a folder, a file lies there. Choose another --output."
        ) from error
    except OSError as error:
        raise PermissionError(
            f"output {folder} cannot be made: {error.strerror}. Choose another --output."
        ) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"output {folder} cannot be written to. Choose another --output.")
    if writes:
        remedy = "A training is running there: wait for its end, or choose another --output."
        held.enter_context(only_user(folder, remedy=remedy))
    if recipe.overwrite:
        if writes:
            _clear(folder)
    else:
        _check_same(recipe, folder)
    if writes:
        clear_abandoned(folder / MODEL_NAME)
        write_text(folder / RECIPE_NAME, recipe.to_yaml())
    return folder


def _check_same(recipe: Recipe, folder: Path) -> None:
    path = folder / RECIPE_NAME
    trained = [folder / name for name in (MODEL_NAME, CHECKPOINTS) if (folder / name).exists()]
    if not trained:
        return
    remedy = "Choose another --output, or pass --overwrite true to replace it."
    if not path.exists():
        raise FileExistsError(f"{trained[0]} exists, and no recipe beside it. {remedy}")
    other = Recipe.from_yaml(path)
    changed = {
        key: values
        for key, values in differences(to_record(other), to_record(recipe)).items()
        if key not in FREE
    }
    longer = changed.keys() == {"epochs"} and recipe.epochs > other.epochs
    if longer and recipe.schedule in BY_EPOCH:
        return  # each epoch is what it would have been in a run that was longer from the beginning
    if changed:
        if {key.partition(".")[0] for key in changed} <= LENGTHS:
            remedy = _longer(recipe, other, folder) + remedy
        listed = "; ".join(f"{k}: {was!r} there, {now!r} here" for k, (was, now) in changed.items())
        raise FileExistsError(
            f"{trained[0]} exists: a training of another recipe lies there ({listed}). {remedy}"
        )


def _longer(recipe: Recipe, other: Recipe, folder: Path) -> str:
    """How a run that differs in its length alone is trained on; empty for a shorter one."""
    model, more = folder / MODEL_NAME, recipe.epochs - other.epochs
    if more <= 0 or not model.exists():
        return ""
    why = ""
    if recipe.schedule not in BY_EPOCH:
        why = f"With schedule {recipe.schedule!r} every step depends on the number of epochs. "
    return (
        f"{why}To train its best model for {more} more, with a schedule of their own: "
        f"--initial_weights {model} --epochs {more} --output {folder}_longer. "
    )


def _clear(folder: Path) -> None:
    for name in MADE:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def recipe_beside(model_path: str | Path) -> Recipe | None:
    """The recipe of the run that a model file lies in, None if it lies elsewhere."""
    path = Path(model_path).parent / RECIPE_NAME
    return Recipe.from_yaml(path) if path.exists() else None


def evaluation_data(
    model_path: str | Path,
    source: str | None,
    split: str,
    channels: int,
    value_range: tuple[float, float] | None = None,
) -> SegmentationDataset:
    """The data to measure a file on: `source`, or the data of the run that the file lies in.

    Args:
        value_range: of images of more than 8 bits, where the data do not state it: the model's.

    Raises: ValueError if neither is known; as `open_dataset` otherwise.
    """
    recipe = recipe_beside(model_path)
    if source is None and recipe is None:
        raise ValueError(
            f"{model_path} lies in no run folder, so its data are not known. Pass --data FOLDER, "
            "or --data builtin:cells."
        )
    classes = None
    if recipe is not None and recipe.classes is not None:
        classes = ClassTable(tuple(recipe.classes))
    if source is not None and images_of_folder(Path(source)):
        raise ValueError(
            f"{source} holds images without masks, on which nothing can be measured. Put the masks "
            "into masks/ beside images/."
        )
    return open_dataset(
        source or recipe.data, split, classes=classes, channels=channels, value_range=value_range
    )
