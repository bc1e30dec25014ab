"""The data sets of a recipe."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Callable

from keras_seg.data.as_dataset import Data, as_dataset, has_masks
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.open_by_name import open_dataset
from keras_seg.data.reading.ranges import MEASURED, checked_range, range_text
from keras_seg.data.verify.image_values import range_line, unknown_nodata
from keras_seg.data.wrappers.cached import GIBIBYTE, CachedDataset
from keras_seg.data.wrappers.folds import folds_of
from keras_seg.data.wrappers.resized import ResizedDataset
from keras_seg.data.wrappers.weighted import WeightedDataset
from keras_seg.training.recipe import Recipe


def check_same_classes(training: ClassTable, validation: ClassTable) -> None:
    """Refuses two data sets in which a class index has different names.

    Classes that were numbered from the masks have no names to compare.
    """
    tables = training, validation
    if any(table.names == ClassTable.numbered(len(table)).names for table in tables):
        return
    if any(a != b for a, b in zip(training.names, validation.names, strict=False)):
        raise ValueError(
            f"The training data have the classes {', '.join(training.names)}, and the validation "
            f"data {', '.join(validation.names)}. A class needs the same index in both. Pass the "
            "same list of classes for both."
        )


def open_splits(
    recipe: Recipe,
    given: tuple[Data | None, Data | None] = (None, None),
    *,
    tell: Callable[[str], object] | None = None,
) -> tuple[CachedDataset, CachedDataset]:
    """Opens training and validation data: the splits of the data, or the folds of the recipe.

    Args:
        recipe: the recipe.
        given: training and validation data, if they are not those that the recipe names.
        tell: is called with what is to be told about the values of the images.

    Raises: as `open_data`; ValueError if the splits have different classes, or too few images.
    """
    train = _open_split(recipe, "train", given[0], tell=tell)
    val = _open_split(recipe, "val", given[1], train.classes)
    check_same_classes(train.classes, val.classes)
    if recipe.fold_numbers is not None:
        train, val = folds_of((train, val), *recipe.fold_numbers, group=recipe.fold_group)
        sys.stderr.write(f"Fold {recipe.fold}: {len(train)} images train, {len(val)} validate.\n")
    return _prepared(recipe, train, "train"), _prepared(recipe, val, "val")


def open_data(
    recipe: Recipe,
    split: str,
    given: Data | None = None,
    classes: ClassTable | None = None,
    *,
    tell: Callable[[str], object] | None = None,
) -> CachedDataset:
    """Opens a split of the data, resized and weighted, and cached in memory; folds do not count.

    Args:
        recipe: the recipe.
        split: "train" or "val".
        given: the data, if they are not those that the recipe names.
        classes: the classes of given data, if neither they nor the recipe name them.
        tell: is called with what is to be told about the values of the images.

    Raises: as `open_dataset` or `as_dataset`; ValueError for data without masks, and for a range
        that contradicts that of the data.
    """
    dataset = _open_split(recipe, split, given, classes, tell=tell)
    return _prepared(recipe, dataset, split)


def open_named(recipe: Recipe, split: str) -> SegmentationDataset:
    """Opens a split of the data that the recipe names, as it is read from its files.

    Raises: as `open_dataset`.
    """
    return open_dataset(
        recipe.data,
        split,
        classes=None if recipe.classes is None else ClassTable(tuple(recipe.classes)),
        channels=recipe.channels,
        on_error=recipe.on_error,
        multi_label=recipe.multi_label,
        value_range=recipe.image_range,
        nodata=recipe.nodata,
    )


def _prepared(recipe: Recipe, dataset: SegmentationDataset, split: str) -> CachedDataset:
    """The data set resized and weighted, and cached in memory."""
    if recipe.resize is not None:
        dataset = ResizedDataset(dataset, recipe.resize)
    if recipe.border_weights and split == "train":
        dataset = WeightedDataset(dataset)
    return CachedDataset(dataset, max_bytes=int(recipe.cache_gib * GIBIBYTE))


def line_about_cache(dataset: CachedDataset, recipe: Recipe) -> str:
    """What `train` tells if not all images fit into memory; empty if they do."""
    if dataset.kept == len(dataset) or not recipe.cache_gib:
        return ""
    per_sample = dataset.bytes_per_sample
    needed = f" All need about {len(dataset) * per_sample / GIBIBYTE:.1f}." if per_sample else ""
    return (
        f"{dataset.split}: {dataset.kept:,} of {len(dataset):,} images fit into cache_gib="
        f"{recipe.cache_gib:g}; the others are read anew in each epoch.{needed}\n"
    )


def _open_split(
    recipe: Recipe,
    split: str,
    given: Data | None = None,
    classes: ClassTable | None = None,
    *,
    tell: Callable[[str], object] | None = None,
) -> SegmentationDataset:
    named = None if recipe.classes is None else ClassTable(tuple(recipe.classes))
    if given is None:
        dataset = open_named(recipe, split)
    else:
        what = {"train": "training data", "val": "validation data"}[split]
        dataset = as_dataset(
            given,
            what=what,
            channels=recipe.channels,
            classes=named or classes,
            split=split,
            value_range=recipe.image_range,
            nodata=recipe.nodata,
            multi_label=bool(recipe.multi_label),
        )
        if not has_masks(dataset):
            raise ValueError(
                f"{what}: the {len(dataset)} images have no masks, from which a network learns. "
                "Pass data=((images, masks), (validation_images, validation_masks))."
            )
        if dataset.channels != recipe.channels:
            raise ValueError(
                f"{what} has images of {dataset.channels} channels, and the recipe has channels="
                f"{recipe.channels}. Set channels to {dataset.channels}."
            )
        if recipe.multi_label is not None and dataset.multi_label != recipe.multi_label:
            raise ValueError(
                f"{what} has multi_label={dataset.multi_label}, and the recipe has multi_label="
                f"{recipe.multi_label}. Set multi_label to {dataset.multi_label}, or leave it out."
            )
    _check_range(recipe, dataset)
    if tell is not None:
        tell(lines_about_images(getattr(dataset, "complete", dataset)))
    reading = getattr(dataset, "reading", "")
    if reading and recipe.fold is None:  # a fold is not divided as the sentence says
        width = shutil.get_terminal_size().columns
        sys.stderr.write(textwrap.fill(f"{split}: {reading}", width) + "\n")
    return dataset


def lines_about_images(dataset: SegmentationDataset) -> str:
    """What `train` tells first about the values of its images; empty if nothing is to be told."""
    doubt = unknown_nodata(dataset)
    lines = (range_line(dataset), None if doubt is None else f"Look at the data: {doubt}")
    return "".join(f"{line}\n" for line in lines if line is not None)


def _check_range(recipe: Recipe, dataset: SegmentationDataset) -> None:
    stated = recipe.image_range
    wanted = None if stated in (None, MEASURED) else checked_range(stated)
    if wanted is None or dataset.value_range == wanted:
        return
    own = dataset.value_range
    of_data = "images of 8 bits" if own is None else f"the range {range_text(own)}"
    raise ValueError(
        f"The recipe states the range {range_text(wanted)}, and {recipe.data} has "
        f"{of_data}. Leave value_range and window out."
    )
