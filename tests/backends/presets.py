"""One step of `training.train` with the recipe of each paper, on a small form of its network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.backends.studies import REFERENCE, Arrays


def prepare(name: str, folder: Path) -> Any:
    """The recipe, with the start weights of TensorFlow's process."""
    import keras

    from keras_seg import models
    from tests.helpers.tiny_presets import classes_of, tiny_recipe

    backend = keras.backend.backend()
    recipe = tiny_recipe(name, Path(folder, f"{backend}-{name}"))
    start = Path(folder, f"start-{name}.keras")
    if backend == REFERENCE:
        channels = recipe.channels or 3
        shape = (None, None, channels)
        options = recipe.model_options
        models.build(recipe.model, shape, classes_of(recipe), **options).save(start)
    return replace(recipe, initial_weights=str(start), steps_per_epoch=1, overlays=0)


def train(recipe: Any, folder: Path, name: str) -> Arrays:
    """Loss and mIoU in training and validation."""
    from keras_seg import training
    from tests.helpers.tiny_presets import opener

    with mock.patch("keras_seg.training.data_sets.open_dataset", opener(recipe)):
        result = training.train(recipe)
    if not result.finished or result.new_steps != 1:
        raise ValueError(f"the training did not finish in one step: {result}")
    rows = Path(recipe.output, "log.jsonl").read_text().splitlines()
    row = json.loads(rows[-1])
    return {"logs": np.asarray([row[key] for key in ("loss", "val_loss", "val_mean_iou")])}


STEPS = {"train": train}
