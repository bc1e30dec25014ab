"""The data sets of a recipe."""

from __future__ import annotations

from collections.abc import Callable

from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.open_by_name import open_dataset
from keras_seg.data.reading.ranges import MEASURED, checked_range, range_text
from keras_seg.data.verify.image_values import range_line, unknown_nodata
from keras_seg.data.wrappers.cached import CachedDataset
from keras_seg.data.wrappers.resized import ResizedDataset
from keras_seg.data.wrappers.weighted import WeightedDataset
from keras_seg.training.recipe import Recipe


def open_data(
    recipe: Recipe, split: str, *, tell: Callable[[str], object] | None = None
) -> CachedDataset:
    """Opens a split of the recipe's data, resized and weighted, and cached in memory.

    Args:
        recipe: the recipe.
        split: "train" or "val".
        tell: is called with what is to be told about the values of the images.

    Raises: ValueError for a range that contradicts that of the data; as `open_dataset`.
    """
    classes = None if recipe.classes is None else ClassTable(tuple(recipe.classes))
    dataset = open_dataset(
        recipe.data,
        split,
        classes=classes,
        channels=recipe.channels,
        on_error=recipe.on_error,
        value_range=recipe.image_range,
        nodata=recipe.nodata,
    )
    _check_range(recipe, dataset)
    if tell is not None:
        tell(lines_about_images(getattr(dataset, "complete", dataset)))
    if recipe.resize is not None:
        dataset = ResizedDataset(dataset, recipe.resize)
    if recipe.border_weights and split == "train":
        dataset = WeightedDataset(dataset)
    return CachedDataset(dataset)


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
