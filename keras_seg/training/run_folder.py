"""The folder that a training writes to."""

from __future__ import annotations

import os
from pathlib import Path

from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.open import open_dataset
from keras_seg.training.recipe import RECIPE_NAME, Recipe

MODEL_NAME = "model.keras"
LOG_NAME = "log.csv"


def prepare(recipe: Recipe) -> Path:
    """Makes the folder and writes the recipe as resolved; refuses before any work is done.

    Raises: FileExistsError if a trained model lies there and may not be replaced;
        NotADirectoryError or PermissionError if nothing can be written there.
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
    model = folder / MODEL_NAME
    if model.exists() and not recipe.overwrite:
        raise FileExistsError(
            f"{model} exists: a training was saved there. Choose another --output, or pass "
            "--overwrite true to replace it."
        )
    (folder / RECIPE_NAME).write_text(recipe.to_yaml())
    return folder


def recipe_beside(model_path: str | Path) -> Recipe | None:
    """The recipe of the run that a model file lies in, None if it lies elsewhere."""
    path = Path(model_path).parent / RECIPE_NAME
    return Recipe.from_yaml(path) if path.exists() else None


def evaluation_data(
    model_path: str | Path, source: str | None, split: str, channels: int
) -> SegmentationDataset:
    """The data to measure a file on: `source`, or the data of the run that the file lies in.

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
    return open_dataset(source or recipe.data, split, classes=classes, channels=channels)
