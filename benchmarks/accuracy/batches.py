"""The batches of a recipe as a stream of bytes, so that another process trains on the same ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from keras_seg.data import open_dataset
from keras_seg.data.pipeline import training_pipeline
from keras_seg.training.recipe import Recipe


def batches(recipe: Recipe, start_step: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The training batches that `train` makes of a recipe.

    Yields: images (B, H, W, C) float32 in 0..255 and masks (B, H, W) uint8, 255 for unknown.
    """
    dataset = open_dataset(recipe.data, "train", channels=recipe.channels)
    for images, masks in training_pipeline(
        dataset,
        crop=recipe.crop,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        augmentation=recipe.augmentation,
        seed=recipe.seed,
        steps=recipe.steps_per_epoch,
        start_step=start_step,
        balance=recipe.balance,
    ):
        yield images.numpy(), masks.numpy().astype(np.uint8)


def validation_images(recipe: Recipe, limit: int | None = None) -> Iterator[tuple]:
    """Image (H, W, C) uint8 and mask (H, W) uint8 of the validation images at their own size."""
    dataset = open_dataset(recipe.data, "val", channels=recipe.channels)
    for index in range(min(limit or len(dataset), len(dataset))):
        sample = dataset[index]
        yield sample.image, sample.mask.astype(np.uint8)


def send(file: BinaryIO, *arrays: np.ndarray) -> None:
    """Writes arrays to a stream; `numpy.load` reads one after the other."""
    for array in arrays:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
    file.flush()
