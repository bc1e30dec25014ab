"""The recipes of the papers on small networks and data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_seg import models
from keras_seg.data import BuiltinDataset, ClassTable
from keras_seg.models.hrnet import HRNetVariant
from keras_seg.training import Recipe
from keras_seg.training.presets import preset_path
from keras_seg.training.recipe_io import from_record, read_yaml
from tests.helpers.shapes import Shapes

TINY_HRNET = HRNetVariant(4, (1, 1, 1), blocks=1, stem_blocks=1, stem_width=8)
TINY = {
    "danet-cityscapes": {
        "backbone": "resnet18",
        "backbone_options": {"width": 8},
        "multi_grid": (4, 8),
    },
    "deconvnet-voc-stage1": models.find("deconvnet").tiny,
    "deconvnet-voc-stage2": models.find("deconvnet").tiny,
    "deeplabv3plus-voc": {"backbone": "resnet18", "backbone_options": {"width": 8}, "channels": 8},
    "gridnet-cityscapes": {"features": (4, 4, 8), "columns": 4},
    "hrnet-cityscapes": {"backbone": TINY_HRNET},
    "icnn-helen": models.find("icnn").tiny,
    "ocrnet-cityscapes": {"backbone": TINY_HRNET, "mid_channels": 8, "key_channels": 8},
    "resunet-roads": models.find("resunet").tiny,
    "resunetplusplus-polyps": models.find("resunetplusplus").tiny,
    "segnet-camvid": models.find("segnet").tiny,
    "unet-isbi": {"widths": (4, 4, 8, 8, 8)},
    "unetplusplus-nuclei": {"widths": (4, 4, 8, 8, 8)},
}
"""Options that make each preset's network small; everything else stays as in the paper."""


def record(name: str) -> dict[str, Any]:
    """The entries of a preset, with data and output."""
    return read_yaml(preset_path(name)) | {"data": "shapes", "output": "run"}


def tiny_recipe(name: str, output: str | Path) -> Recipe:
    """A preset on its small network, with two steps of two crops."""
    recipe = from_record(record(name), Recipe)
    options = recipe.model_options | TINY[name]
    if "backbone_weights" in options or "backbone" in options:
        options["backbone_weights"] = None
    crop = (188, 188) if name == "unet-isbi" else (32, 32)
    return replace(
        recipe,
        output=str(output),
        model_options=options,
        crop=crop,
        resize=recipe.resize and crop,
        batch_size=2,
        steps_per_epoch=2,
        epochs=1,
        overlays=1,
        recalibrate=recipe.recalibrate and name == "segnet-camvid",  # once is enough
    )


def classes_of(recipe: Recipe) -> int:
    """The number of classes of the data that `opener` opens."""
    if recipe.channels == 1:
        return len(GreyCells("train").classes)
    weights = recipe.loss.get("class_weights") if isinstance(recipe.loss, dict) else None
    return 3 if weights is None else len(weights)


def opener(recipe: Recipe) -> Callable:
    """A function that opens small data for a recipe instead of `data.open_dataset`."""

    def open_dataset(source: str, split: str, *, channels: int, **options: Any) -> Any:
        return GreyCells(split) if channels == 1 else ManyShapes(split, classes_of(recipe))

    return open_dataset


class ManyShapes(Shapes):
    """Shapes in a table of more classes."""

    def __init__(self, split, classes):
        super().__init__(split, 4 if split == "train" else 1, (48, 48))
        self.classes = ClassTable.numbered(classes)


class GreyCells(BuiltinDataset):
    """Cells with instances, in one channel."""

    channels = 1

    def __init__(self, split):
        super().__init__("cells", split, length=2, size=(96, 96))

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        return sample._replace(image=sample.image[..., :1])
