"""The data sets of a recipe."""

from __future__ import annotations

from keras_seg.data.classes import ClassTable
from keras_seg.data.open_by_name import open_dataset
from keras_seg.data.wrappers.cached import CachedDataset
from keras_seg.data.wrappers.resized import ResizedDataset
from keras_seg.data.wrappers.weighted import WeightedDataset
from keras_seg.training.recipe import Recipe


def open_data(recipe: Recipe, split: str) -> CachedDataset:
    """Opens a split of the recipe's data, resized and weighted, and cached in memory.

    Raises: as `open_dataset`.
    """
    classes = None if recipe.classes is None else ClassTable(tuple(recipe.classes))
    dataset = open_dataset(
        recipe.data,
        split,
        classes=classes,
        channels=recipe.channels,
        on_error=recipe.on_error,
        multi_label=recipe.multi_label,
    )
    if recipe.resize is not None:
        dataset = ResizedDataset(dataset, recipe.resize)
    if recipe.border_weights and split == "train":
        dataset = WeightedDataset(dataset)
    return CachedDataset(dataset)
