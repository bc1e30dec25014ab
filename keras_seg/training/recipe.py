"""The recipe of a training as one checked record. Imports no TensorFlow."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from keras_seg.data.augmentation.options import Augmentation
from keras_seg.data.reading.ranges import MEASURED, ValueRange, checked_range, range_of_window
from keras_seg.losses.spec import LossTerm, parse_loss
from keras_seg.names import unknown_name
from keras_seg.training.recipe_io import from_record, read_yaml, to_record

OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop", "nadam", "adadelta")
SCHEDULES = ("poly", "cosine", "constant", "step", "plateau")
MONITORS = ("miou", "loss")
FREEZES = ("none", "norms", "backbone")
ON_ERROR = ("stop", "skip")
STRATEGIES = ("auto", "none", "mirrored", "multiworker", "tpu")
FOLD = re.compile(r"(\d+)/(\d+)")
RECIPE_NAME = "recipe.yaml"
POSITIVE = (
    "batch_size",
    "epochs",
    "learning_rate",
    "checkpoint_steps",
    "steps_per_epoch",
    "early_stop",
    "max_minutes",
    "teacher_weight",
    "teacher_temperature",
    "gradient_accumulation",
    "steps_per_execution",
)
NOT_NEGATIVE = ("weight_decay", "auxiliary_weight", "seed", "overlays", "cache_gib")


@dataclass(frozen=True)
class OptimizerOptions:
    """Options of the optimizer, besides its name, learning rate and weight decay.

    Args:
        momentum: momentum of sgd and rmsprop.
        nesterov: whether sgd uses Nesterov momentum.
        decay_all: whether weight decay also applies to batch norm and biases.
        decay_depthwise: whether weight decay applies to depthwise kernels.
        bias_rate: factor of the learning rate for biases; batch norm is not changed.
        clip_norm: largest global norm of the gradients; by default no limit.
        ema: momentum of an exponential moving average of the weights, which is then validated and
            saved; by default no average.
        head_rate: factor of the learning rate for the layers outside the backbone.

    Raises: ValueError for a value out of range.
    """

    momentum: float = 0.9
    nesterov: bool = False
    decay_all: bool = False
    decay_depthwise: bool = True
    bias_rate: float = 1.0
    clip_norm: float | None = None
    ema: float | None = None
    head_rate: float = 1.0

    def __post_init__(self) -> None:
        for option in ("momentum", "ema"):
            value = getattr(self, option)
            if value is not None and not 0 <= value < 1:
                raise ValueError(
                    f"optimizer_options.{option} must be at least 0 and below 1. Received: {value}"
                )
        for option in ("clip_norm", "head_rate", "bias_rate"):
            value = getattr(self, option)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"optimizer_options.{option} must be positive. Received: {value}")


@dataclass(frozen=True)
class ScheduleOptions:
    """Options of the learning-rate schedule.

    Args:
        warmup_epochs: epochs in which the rate rises from 0; for any schedule but plateau.
        power: exponent of poly.
        step_epochs: epochs after which step multiplies the rate by factor; a single number repeats.
        factor: factor of step and plateau.
        patience: epochs without progress of the `monitor` after which plateau applies its factor.
        floor: smallest share of the initial rate.

    Raises: ValueError for a value out of range.
    """

    warmup_epochs: float = 0.0
    power: float = 0.9
    step_epochs: tuple[float, ...] = ()
    factor: float = 0.1
    patience: int = 5
    floor: float = 0.0

    def __post_init__(self) -> None:
        if self.warmup_epochs < 0 or any(epoch <= 0 for epoch in self.step_epochs):
            raise ValueError(
                "schedule_options.warmup_epochs must be 0 or more and step_epochs positive. "
                f"Received: {self.warmup_epochs} and {self.step_epochs}"
            )
        if not self.power >= 0:
            raise ValueError(
                "schedule_options.power must not be negative: the rate would grow without bound. "
                f"Received: {self.power}"
            )
        if not 0 < self.factor < 1 or self.patience < 1 or not 0 <= self.floor < 1:
            raise ValueError(
                "schedule_options: factor must be between 0 and 1, patience at least 1, and "
                "floor at least 0 and below 1. Received: "
                f"{self.factor}, {self.patience} and {self.floor}"
            )


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training, from data to `model.keras`.

    Args:
        data: folder of images and masks, a built-in set such as "builtin:cells", or another source
            that `keras_seg.data.open_dataset` opens.
        output: folder for the trained model, log, pictures and checkpoints.
        on_error: "stop" at a sample that cannot be read, or "skip" it with a warning.
        cache_gib: memory in GiB in which each split keeps its decoded images and masks, 4 bytes per
            RGB pixel. What does not fit is read anew in each epoch; 0 keeps nothing.
        model: name of the network, see `keras-seg models`. In a recipe file, "auto" lets
            `keras-seg train` choose it, and every entry that the file does not have, from the data.
        model_options: arguments of the network's builder.
        initial_weights: model.keras of the same network, whose weights the training starts from, or
            published weights by their name, see `keras-seg weights`. If it has other classes, the
            head starts from random values.
        num_classes: number of classes, checked against the data; by default taken from the data. 1
            gives data of two classes a network with one output channel and a sigmoid.
        multi_label: whether a pixel may have several classes, so that each has its own sigmoid; by
            default as the data say.
        classes: class names, for a folder without classes.json.
        channels: channels of the images: 3 (RGB), 1 (grey), or those of TIFF and .npy files.
        value_range: black and white of images of more than 8 bits, such as [0, 4095], or one such
            pair per band; "auto" measures it per band in the training images. For data that state
            no range.
        window: black and white as the centre and the width of a DICOM window, such as [40, 400].
        nodata: value of image pixels that hold no data, such as -9999, besides that in the files.
        fold: part of the images to validate on, such as "2/5": the second of five. The others, also
            those of the validation split, are trained on.
        fold_group: regular expression; images in whose names it matches the same text, such as the
            number of a patient, stay in one fold.
        resize: height and width in pixels to which every image is resized first.
        crop: height and width in pixels of the training crops.
        batch_size: crops per step, on all devices together.
        epochs: passes over the training images.
        steps_per_epoch: steps that count as one epoch; by default one pass over the images.
        max_minutes: pause the training at the end of the epoch in which this time runs out.
        early_stop: stop after this many epochs without a better validation mIoU.
        monitor: what `early_stop` and the schedule plateau watch in the validation: "miou" or
            "loss". The best model is always that of the best mIoU.
        loss: a name, a sum such as "cross_entropy+0.5*dice", a mapping of name and options, or a
            list of these. A loss of your own is named by its import path, "module:name", or by a
            mapping with `path` and its arguments.
        metrics: import paths of Keras metrics or of functions of masks and scores, "module:name",
            or mappings with `path` and the metric's arguments. They are logged beside the mIoU.
        auxiliary_weight: weight of the losses of auxiliary heads.
        teacher: model.keras of a trained network with the same classes, usually a larger one, whose
            scores on each training crop are learned besides the masks (knowledge distillation).
        teacher_weight: weight of the loss against the teacher.
        teacher_temperature: number by which both networks' logits are divided in that loss; above 1
            it weighs the less probable classes more.
        optimizer: adam, adamw, sgd, rmsprop, nadam or adadelta.
        learning_rate: learning rate at the first step, or after the warm-up.
        schedule: poly, cosine, constant or step over all steps, or plateau of the `monitor`.
        weight_decay: decoupled for adamw, added to the gradient for the others.
        optimizer_options: momentum, clipping, weight averaging and learning rate of the head.
        schedule_options: warm-up, and how the learning rate falls.
        freeze: "norms" freezes the backbone's batch norms, "backbone" all its weights.
        balance: draw images with rare classes more often.
        border_weights: weight pixels by U-Net's map of borders between instances.
        augmentation: random changes of each crop.
        transform: import path of a transform of your own, "module:name", which changes each
            training sample before `augmentation`: an `albumentations.Compose`, a function of image
            and mask, or layers of Keras.
        callbacks: import paths of Keras callbacks, "module:name", or mappings with `path` and the
            callback's arguments.
        gradient_accumulation: number of equal parts in which a batch is computed, one after the
            other; each step applies their mean gradient. Needs about the memory of one part.
        recompute: compute activations again for the gradients instead of keeping them: less memory,
            more time.
        steps_per_execution: steps between two looks at loss, signals and callbacks; more than 1
            helps if a step takes milliseconds.
        mixed_precision: compute in float16 (bfloat16 on TPU) where that is safe.
        jit: compile the training step with XLA.
        strategy: auto, none, mirrored (all local devices), multiworker (TF_CONFIG) or tpu.
        sync_batch_norm: whether batch norm uses the statistics of all devices.
        batch_norm_momentum: share of the moving statistics of batch norm that a step keeps; by
            default that of the network.
        recalibrate: after the last step, compute the statistics of batch norm anew over all
            training images, and keep them if the validation mIoU is not lower.
        checkpoint_steps: steps between checkpoints, from which an interrupted training resumes.
        overlays: number of validation images that are drawn after each better epoch.
        seed: seed of initial weights, order and augmentation.
        deterministic: bit-identical results in every run on the same machine; slower.
        overwrite: whether to replace a run that the output folder holds.
        chosen: what was chosen from the data, and why, as `training.choose_recipe` writes it. It
            changes nothing.

    Raises: ValueError for an entry that is invalid by itself.

    Example:

        recipe = keras_seg.training.Recipe(data="builtin:cells", output="runs/cells", epochs=5)
        print(recipe.to_yaml())
    """

    data: str
    output: str
    on_error: str = "stop"
    cache_gib: float = 4.0
    model: str = "unet"
    model_options: dict[str, Any] = field(default_factory=dict)
    initial_weights: str | None = None
    num_classes: int | None = None
    multi_label: bool | None = None
    classes: list[str] | None = None
    channels: int = 3
    value_range: str | list | None = None
    window: list | None = None
    nodata: float | None = None
    fold: str | None = None
    fold_group: str | None = None
    resize: tuple[int, int] | None = None
    crop: tuple[int, int] = (256, 256)
    batch_size: int = 8
    epochs: int = 50
    steps_per_epoch: int | None = None
    max_minutes: float | None = None
    early_stop: int | None = None
    monitor: str = "miou"
    loss: str | dict | list = "cross_entropy+dice"
    metrics: list[str | dict] | None = None
    auxiliary_weight: float = 0.4
    teacher: str | None = None
    teacher_weight: float = 1.0
    teacher_temperature: float = 1.0
    optimizer: str = "adam"
    learning_rate: float = 1e-3
    schedule: str = "poly"
    weight_decay: float = 0.0
    optimizer_options: OptimizerOptions = field(default_factory=OptimizerOptions)
    schedule_options: ScheduleOptions = field(default_factory=ScheduleOptions)
    freeze: str = "none"
    balance: bool = False
    border_weights: bool = False
    augmentation: Augmentation = field(default_factory=Augmentation)
    transform: str | None = None
    callbacks: list[str | dict] | None = None
    gradient_accumulation: int = 1
    recompute: bool = False
    steps_per_execution: int = 1
    mixed_precision: bool = False
    jit: bool = False
    strategy: str = "auto"
    sync_batch_norm: bool = True
    batch_norm_momentum: float | None = None
    recalibrate: bool = False
    checkpoint_steps: int = 500
    overlays: int = 4
    seed: int = 0
    deterministic: bool = False
    overwrite: bool = False
    chosen: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        self._check_names()
        self._check_numbers()
        self._check_sizes()
        self._check_range()
        self._check_fold()
        _ = self.loss_terms  # raises ValueError for a loss that cannot be read

    @cached_property
    def loss_terms(self) -> tuple[LossTerm, ...]:
        """The terms of `loss`."""
        return parse_loss(self.loss)

    def _check_names(self) -> None:
        for entry in ("data", "output", "model"):
            if not getattr(self, entry):
                raise ValueError(f"{entry} is empty. Write a name.")
        for entry, known in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("freeze", FREEZES),
            ("strategy", STRATEGIES),
            ("on_error", ON_ERROR),
            ("monitor", MONITORS),
        ):
            if getattr(self, entry) not in known:
                raise ValueError(unknown_name(entry, getattr(self, entry), known))

    def _check_numbers(self) -> None:
        for entry in POSITIVE:
            value = getattr(self, entry)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{entry} must be positive. Received: {value}")
        for entry in NOT_NEGATIVE:
            if not 0 <= getattr(self, entry) < math.inf:
                raise ValueError(f"{entry} must not be negative. Received: {getattr(self, entry)}")
        momentum = self.batch_norm_momentum
        if momentum is not None and not 0 <= momentum < 1:
            raise ValueError(
                f"batch_norm_momentum must be at least 0 and below 1. Received: {momentum}"
            )
        if self.seed >= 2**32:
            raise ValueError(f"seed must be less than 2**32. Received: {self.seed}")
        if self.schedule == "step" and not self.schedule_options.step_epochs:
            raise ValueError(
                'schedule "step" needs schedule_options.step_epochs, such as [20]. Received: none'
            )

    def _check_sizes(self) -> None:
        for entry in ("crop", "resize"):
            size = getattr(self, entry)
            if size is not None and (len(size) != 2 or min(size) < 1):
                raise ValueError(f"{entry} must be (height, width) in pixels. Received: {size}")
        pixels = self.batch_size * math.prod(self.crop)
        if pixels >= 2**31:  # TensorFlow counts the elements of some tensors with 32 bits
            raise ValueError(
                f"crop and batch_size must make less than 2**31 pixels per step. Received: "
                f"{list(self.crop)} and {self.batch_size}, which are {pixels:,}"
            )

    @property
    def image_range(self) -> ValueRange | str | None:
        """The range of images that `value_range` or `window` states; "auto" to measure it."""
        if self.value_range == MEASURED:
            return MEASURED
        return checked_range(self.value_range) or range_of_window(self.window)

    def _check_range(self) -> None:
        if self.value_range is not None and self.window is not None:
            raise ValueError(
                "value_range and window both say what is black and white. Keep one of them."
            )
        if self.value_range != MEASURED:
            checked_range(self.value_range)
        range_of_window(self.window)

    @property
    def fold_numbers(self) -> tuple[int, int] | None:
        """(number of the fold from 1, number of folds); None without folds."""
        if self.fold is None:
            return None
        match = FOLD.fullmatch(self.fold)
        number, count = map(int, match.groups()) if match else (0, 0)
        if not 1 <= number <= count or count < 2:
            raise ValueError(
                'fold is the number of a fold and the number of folds, such as "2/5". Received: '
                f"{self.fold!r}"
            )
        return number, count

    def _check_fold(self) -> None:
        if self.fold_group is not None:
            try:
                re.compile(self.fold_group)
            except re.error as error:
                raise ValueError(
                    f"fold_group is not a regular expression: {error}. Received: "
                    f"{self.fold_group!r}"
                ) from error
        _ = self.fold_numbers  # raises ValueError for what is not a fold

    def to_yaml(self) -> str:
        """The recipe as YAML, which `from_yaml` reads."""
        return yaml.safe_dump(to_record(self), sort_keys=False)

    @classmethod
    def from_yaml(cls, path: str | Path) -> Recipe:
        """Reads a recipe from a YAML file.

        Raises: ValueError that names the file, for unknown keys (with the nearest known one) and
            for wrong values.
        """
        record = read_yaml(path)
        try:
            return from_record(record, cls)
        except (ValueError, TypeError) as error:  # TypeError for missing entries
            raise ValueError(f"{path}: {error}") from error
