"""The output folder of a training: prepared, locked, and read again for evaluation."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from keras_seg.atomic_files import clear_abandoned, only_user, write_text
from keras_seg.data.as_dataset import images_of_folder
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.folder.contents import data_set_above
from keras_seg.data.open_by_name import open_dataset
from keras_seg.data.reading.ranges import ValueRange
from keras_seg.data.wrappers.folds import folds_of
from keras_seg.shipped_models import shipped_file
from keras_seg.training.history import CSV_NAME, JSON_NAME
from keras_seg.training.recipe import RECIPE_NAME, Recipe
from keras_seg.training.recipe_io import differences, to_record

MODEL_NAME = "model.keras"
CHECKPOINTS = "checkpoints"
OVERLAYS = "overlays"
TENSORBOARD = "tensorboard"
CLASS_WEIGHTS_NAME = "class_weights.json"
ENVIRONMENT_NAME = "environment.json"
RECALIBRATION_NAME = "recalibration.json"
MADE = (
    MODEL_NAME,
    RECIPE_NAME,
    CLASS_WEIGHTS_NAME,
    ENVIRONMENT_NAME,
    RECALIBRATION_NAME,
    CSV_NAME,
    JSON_NAME,
    CHECKPOINTS,
    OVERLAYS,
    TENSORBOARD,
)
"""Files and folders that a training writes, and that `overwrite` removes."""
FREE = {
    *("output", "overwrite", "max_minutes", "checkpoint_steps", "overlays", "strategy"),
    "cache_gib",
    "callbacks",  # a logger may be added to a run
    "recalibrate",  # also after its end
    "chosen",
}
"""Entries that may change when a training resumes, because no trained value depends on them."""
LENGTHS = {"epochs", "early_stop", "schedule", "schedule_options", "learning_rate"}
"""Entries that change when a training is made longer."""
BY_EPOCH = ("constant", "step", "plateau")
"""Schedules that do not depend on the number of epochs: such a run can be made longer."""


def prepare(recipe: Recipe, held: contextlib.ExitStack, *, writes: bool = True) -> Path:
    """Creates the folder, locks it, and writes the recipe.

    A run of the same recipe is kept, so that it resumes. The recipe may have more epochs, if its
    schedule does not depend on their number.

    Args:
        recipe: the recipe.
        held: exit stack that keeps the folder locked until it is closed.
        writes: whether this process writes files.

    Raises: BlockingIOError if another training uses the folder; FileExistsError if it holds a run
        of another recipe; NotADirectoryError or PermissionError if it cannot be written.
    """
    folder = Path(recipe.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise NotADirectoryError(
            f"output {folder} cannot be a folder: it is a file. Choose another --output."
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
    trained = _trained(folder)
    if not trained:
        return
    remedy = "Choose another --output, or pass --overwrite true to replace it."
    if not path.exists():
        raise FileExistsError(f"{trained[0]} exists, and no recipe beside it. {remedy}")
    other = Recipe.from_yaml(path)
    changed = {
        key: values
        for key, values in differences(to_record(other), to_record(recipe)).items()
        if key.partition(".")[0] not in FREE
    }
    longer = changed.keys() == {"epochs"} and recipe.epochs > other.epochs
    if longer and recipe.schedule in BY_EPOCH:
        return  # every epoch is as in a run that was longer from the beginning
    if changed:
        if {key.partition(".")[0] for key in changed} <= LENGTHS:
            remedy = _longer(recipe, other, folder) + remedy
        listed = "; ".join(f"{k}: {was!r} there, {now!r} here" for k, (was, now) in changed.items())
        raise FileExistsError(
            f"{trained[0]} exists, from a training with another recipe ({listed}). {remedy}"
        )


def has_training(folder: Path) -> bool:
    """Whether a folder holds a model or checkpoints of a run."""
    return bool(_trained(folder))


def _trained(folder: Path) -> list[Path]:
    return [folder / name for name in (MODEL_NAME, CHECKPOINTS) if (folder / name).exists()]


def _longer(recipe: Recipe, other: Recipe, folder: Path) -> str:
    """How to continue a run that differs only in its length; empty if it is not longer."""
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
    """The recipe beside a model file; None if the file is not in the folder of a run."""
    model_path = shipped_file(model_path) or Path(model_path)
    path = model_path.parent / RECIPE_NAME
    return Recipe.from_yaml(path) if path.exists() else None


def evaluation_data(
    model_path: str | Path,
    source: str | None,
    split: str,
    channels: int,
    value_range: ValueRange | str | None = None,
    multi_label: bool | None = None,
    nodata: float | None = None,
) -> SegmentationDataset:
    """Opens the data to measure a model file on; for the run of a fold, the images of that fold.

    Args:
        model_path: the model file.
        source: name of a data set; None for the data of the run that the file is in.
        split: "train" or "val".
        channels: channels that the model takes.
        value_range, nodata: those of the training, if the data do not state them.
        multi_label: whether a pixel may have several classes; None for what the recipe of the run
            or the data say.

    Raises: ValueError if no data are known; as `open_dataset` otherwise.
    """
    recipe = recipe_beside(model_path)
    if source is None and recipe is None:
        raise ValueError(
            f"{model_path} is not in the folder of a run, so its data are not known. Pass "
            "--data FOLDER, or --data builtin:cells."
        )
    classes = None
    if recipe is not None and recipe.classes is not None:
        classes = ClassTable(tuple(recipe.classes))
    if source is not None and images_of_folder(Path(source)):
        above = data_set_above(Path(source))
        remedy = "Put the masks into masks/ beside images/." if above is None else f"Pass {above}"
        raise ValueError(
            f"{source} holds images without masks, on which nothing can be measured. {remedy}"
        )
    if multi_label is None and recipe is not None:
        multi_label = recipe.multi_label
    name, folds, group, on_error = source or "", None, None, "stop"
    if recipe is not None and (source is None or _is_same(source, recipe.data)):
        name, group = recipe.data, recipe.fold_group
        folds = recipe.fold_numbers if split in ("train", "val") else None
        on_error = recipe.on_error  # folds change with the number of images
    if source is None and recipe is not None:
        value_range = value_range or recipe.image_range
        nodata = recipe.nodata if nodata is None else nodata

    def opened(part: str) -> SegmentationDataset:
        return open_dataset(
            name,
            part,
            classes=classes,
            channels=channels,
            on_error=on_error,
            value_range=value_range,
            multi_label=multi_label,
            nodata=nodata,
        )

    if folds is None:
        return opened(split)
    train, val = folds_of((opened("train"), opened("val")), *folds, group=group)
    return train if split == "train" else val


def _is_same(source: str, other: str) -> bool:
    """Whether two names of data sets are equal, or paths of the same folder."""
    return source == other or Path(source).resolve() == Path(other).resolve()
