"""The folder that a training writes to."""

from __future__ import annotations

import os
from pathlib import Path

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
