"""Everything that decides a training, in one record. Imports no TensorFlow."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import yaml

from keras_seg.data.augmentation import Augmentation
from keras_seg.names import unknown_name

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("poly", "cosine", "constant")
LOSSES = ("cross_entropy", "dice", "cross_entropy+dice")
RECIPE_NAME = "recipe.yaml"


@dataclass(frozen=True)
class Recipe:
    """A training from data to `model.keras`.

    Args:
        data: folder with images and masks, or "builtin:cells", "builtin:streets",
            "builtin:faces".
        output: folder for the trained model, log and pictures.
        model: name of the network, see `keras_seg.models.list_models()`.
        model_options: keyword arguments of the network's builder.
        num_classes: checked against the data's class table; None takes the table's.
        classes: class names, for a folder without classes.json.
        channels: of the images that the network takes: 3 (RGB) or 1 (grey).
        resize: (height, width) in pixels that every image is resized to before anything else.
        crop: (height, width) in pixels of the training crops.
        batch_size: crops a step.
        epochs: passes over the training images.
        max_minutes: training ends after this time, at the end of an epoch; None for no limit.
        loss: "cross_entropy", "dice" or "cross_entropy+dice".
        optimizer: "adam", "adamw" or "sgd" (momentum 0.9).
        learning_rate: at the first step.
        schedule: "poly" (power 0.9), "cosine" or "constant" over all steps.
        weight_decay: decoupled for adamw; 0 for none.
        augmentation: what is drawn for each crop.
        mixed_precision: computes in float16 where that is safe.
        overlays: number of validation images that are drawn after each better epoch.
        seed: of initial values, order and augmentation.
        overwrite: whether a run that lies in `output` already may be replaced.
    """

    data: str
    output: str
    model: str = "unet"
    model_options: dict = field(default_factory=dict)
    num_classes: int | None = None
    classes: list[str] | None = None
    channels: int = 3
    resize: tuple[int, int] | None = None
    crop: tuple[int, int] = (256, 256)
    batch_size: int = 8
    epochs: int = 50
    max_minutes: float | None = None
    loss: str = "cross_entropy+dice"
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "poly"
    weight_decay: float = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    mixed_precision: bool = False
    overlays: int = 4
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self):
        for what, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("loss", LOSSES)):
            if getattr(self, what) not in known:
                raise ValueError(unknown_name(what, getattr(self, what), known))
        for what in ("batch_size", "epochs", "learning_rate"):
            if getattr(self, what) <= 0:
                raise ValueError(f"{what} must be positive. Received: {getattr(self, what)}")
        for what in ("crop", "resize"):
            size = getattr(self, what)
            if size is not None and min(size) < 1:
                raise ValueError(f"{what} must be (height, width) in pixels. Received: {size}")

    def to_yaml(self) -> str:
        record = asdict(self)
        for what in ("crop", "resize"):
            record[what] = record[what] and list(record[what])
        record["augmentation"]["scale"] = list(record["augmentation"]["scale"])
        return yaml.safe_dump(_plain(record), sort_keys=False)

    @classmethod
    def from_yaml(cls, path: str | Path) -> Recipe:
        """Reads what `to_yaml` wrote; ValueError for unknown keys, with the nearest known one."""
        record = yaml.safe_load(Path(path).read_text())
        if not isinstance(record, dict):
            raise ValueError(f"{path} is no recipe: it holds no keys.")
        known = cls.__dataclass_fields__
        for key in record:
            if key not in known:
                raise ValueError(f"{path}: {unknown_name('recipe entry', key, known)}")
        for what in ("crop", "resize"):
            if record.get(what):
                record[what] = tuple(record[what])
        if "augmentation" in record:
            options = dict(record["augmentation"])
            if "scale" in options:
                options["scale"] = tuple(options["scale"])
            record["augmentation"] = Augmentation(**options)
        return cls(**record)


def _plain(value):
    """Tuples as lists, all the way down: YAML's safe writer knows no tuples."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
