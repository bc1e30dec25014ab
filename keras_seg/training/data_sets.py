"""The data sets of a recipe."""

from __future__ import annotations

import sys

from keras_seg.data.as_dataset import Data, as_dataset, has_masks
from keras_seg.data.classes import ClassTable
from keras_seg.data.open_by_name import open_dataset
from keras_seg.data.wrappers.cached import CachedDataset
from keras_seg.data.wrappers.resized import ResizedDataset
from keras_seg.data.wrappers.weighted import WeightedDataset
from keras_seg.training.recipe import Recipe


def open_data(
    recipe: Recipe,
    split: str,
    given: Data | None = None,
    classes: ClassTable | None = None,
) -> CachedDataset:
    """Opens a split of the data, resized and weighted, and cached in memory.

    Args:
        recipe: the recipe.
        split: "train" or "val".
        given: the data, if they are not those that the recipe names.
        classes: the classes of given data, if neither they nor the recipe name them.

    Raises: as `open_dataset` or `as_dataset`; ValueError for data without masks.
    """
    named = None if recipe.classes is None else ClassTable(tuple(recipe.classes))
    if given is None:
        dataset = open_dataset(
            recipe.data,
            split,
            classes=named,
            channels=recipe.channels,
            on_error=recipe.on_error,
            multi_label=recipe.multi_label,
        )
    else:
        what = {"train": "training data", "val": "validation data"}[split]
        dataset = as_dataset(
            given, what=what, channels=recipe.channels, classes=named or classes, split=split
        )
        if not has_masks(dataset):
            raise ValueError(
                f"{what}: the {len(dataset)} images have no masks, from which a network learns. "
                "Pass (images, masks)."
            )
        if dataset.channels != recipe.channels:
            raise ValueError(
                f"{what} has images of {dataset.channels} channels, and the recipe has channels="
                f"{recipe.channels}. Set channels to {dataset.channels}."
            )
    if reading := getattr(dataset, "reading", ""):
        sys.stderr.write(f"{split}: {reading}\n")
    if recipe.resize is not None:
        dataset = ResizedDataset(dataset, recipe.resize)
    if recipe.border_weights and split == "train":
        dataset = WeightedDataset(dataset)
    return CachedDataset(dataset)
