"""Everything that decides a training, in one record. Imports no TensorFlow."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from keras_seg.data.augmentation.options import Augmentation
from keras_seg.losses.spec import parse_loss
from keras_seg.names import unknown_name
from keras_seg.training.records import from_record, to_record
from keras_seg.training.yaml_files import read_yaml

OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop", "nadam", "adadelta")
SCHEDULES = ("poly", "cosine", "constant", "step", "plateau")
FREEZES = ("none", "norms", "backbone")
ON_ERROR = ("stop", "skip")
STRATEGIES = ("auto", "none", "mirrored", "multiworker", "tpu")
RECIPE_NAME = "recipe.yaml"


@dataclass(frozen=True)
class OptimizerOptions:
    """How the optimizer moves, beside its name, learning rate and weight decay.

    momentum: of sgd and rmsprop.
    nesterov: whether sgd looks ahead.
    decay_all: weight decay also on batch norm and biases, which are left alone otherwise.
    clip_norm: gradients are scaled down to this global norm; None for no limit.
    ema: momentum of an exponential moving average of the weights, which then is what is validated
        and saved; None for none.
    head_rate: factor of the learning rate for the layers outside of the backbone.
    """

    momentum: float = 0.9
    nesterov: bool = False
    decay_all: bool = False
    clip_norm: float | None = None
    ema: float | None = None
    head_rate: float = 1.0

    def __post_init__(self):
        for what in ("momentum", "ema"):
            value = getattr(self, what)
            if value is not None and not 0 <= value < 1:
                raise ValueError(
                    f"optimizer_options.{what} must lie in 0..1 (1 excluded). Received: {value}"
                )
        for what in ("clip_norm", "head_rate"):
            value = getattr(self, what)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"optimizer_options.{what} must be positive. Received: {value}")


@dataclass(frozen=True)
class ScheduleOptions:
    """How the learning rate falls.

    warmup_epochs: epochs in which it rises from 0, of any schedule but plateau.
    power: of poly.
    step_epochs: epochs after which step multiplies it by `factor`; one number repeats.
    factor: of step and plateau.
    patience: epochs without a better validation mIoU after which plateau multiplies it.
    floor: the smallest share of the first rate.
    """

    warmup_epochs: float = 0.0
    power: float = 0.9
    step_epochs: tuple[float, ...] = ()
    factor: float = 0.1
    patience: int = 5
    floor: float = 0.0

    def __post_init__(self):
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
                "schedule_options: factor must lie between 0 and 1, patience be at least 1, and "
                f"floor lie in 0..1. Received: {self.factor}, {self.patience} and {self.floor}"
            )


@dataclass(frozen=True)
class Recipe:
    """A training from data to `model.keras`.

    Args:
        data: folder with images and masks, a built-in set such as "builtin:cells", or another kind
            of `keras_seg.data.open_dataset`.
        output: folder for the trained model, log, pictures and checkpoints.
        on_error: "stop" at a sample that cannot be read, or "skip" and name it.
        model: name of the network, see `keras_seg.models.list_models()`.
        model_options: keyword arguments of the network's builder.
        initial_weights: model.keras of the same network that training starts from.
        num_classes: checked against the data's class table; None takes the table's.
        classes: class names, for a folder without classes.json.
        channels: of the images that the network takes: 3 (RGB) or 1 (grey).
        resize: (height, width) in pixels that every image is resized to before anything else.
        crop: (height, width) in pixels of the training crops.
        batch_size: crops a step, of all devices together.
        epochs: passes over the training images.
        steps_per_epoch: steps that count as an epoch; None for one pass over the images.
        max_minutes: training pauses after this time, at the end of an epoch; None for no limit.
        early_stop: epochs without a better validation mIoU after which training ends; None never.
        loss: a name, a sum such as "cross_entropy+0.5*dice", a mapping with a name and options, or
            a list of these, see `keras_seg.losses.spec`.
        auxiliary_weight: of the losses of auxiliary heads.
        optimizer: "adam", "adamw", "sgd", "rmsprop", "nadam" or "adadelta".
        learning_rate: at the first step, or after warm-up.
        schedule: "poly", "cosine", "constant" or "step" over all steps, or "plateau".
        weight_decay: decoupled for adamw, added to the gradient for the others; 0 for none.
        optimizer_options: momentum, clipping, average of weights, rate of the head.
        schedule_options: warm-up, and how the rate falls.
        freeze: "norms" keeps the backbone's batch norms as they are, "backbone" all its weights.
        balance: draw images so that rare classes come more often.
        border_weights: weigh pixels by U-Net's map of borders between instances.
        augmentation: what is drawn for each crop.
        mixed_precision: computes in float16 (bfloat16 on TPU) where that is safe.
        jit: compile the step with XLA.
        strategy: "auto", "none", "mirrored" (all local devices), "multiworker" (TF_CONFIG) or
            "tpu".
        sync_batch_norm: batch norm over all devices rather than each by itself.
        checkpoint_steps: steps between checkpoints that an interrupted training goes on from.
        overlays: number of validation images that are drawn after each better epoch.
        seed: of initial values, order and augmentation.
        deterministic: the same bits in every run on the same machine; slower.
        overwrite: whether a run that lies in `output` already is removed first.
    """

    data: str
    output: str
    on_error: str = "stop"
    model: str = "unet"
    model_options: dict = field(default_factory=dict)
    initial_weights: str | None = None
    num_classes: int | None = None
    classes: list[str] | None = None
    channels: int = 3
    resize: tuple[int, int] | None = None
    crop: tuple[int, int] = (256, 256)
    batch_size: int = 8
    epochs: int = 50
    steps_per_epoch: int | None = None
    max_minutes: float | None = None
    early_stop: int | None = None
    loss: str | dict | list = "cross_entropy+dice"
    auxiliary_weight: float = 0.4
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
    mixed_precision: bool = False
    jit: bool = False
    strategy: str = "auto"
    sync_batch_norm: bool = True
    checkpoint_steps: int = 500
    overlays: int = 4
    seed: int = 0
    deterministic: bool = False
    overwrite: bool = False

    def __post_init__(self):
        for what in ("data", "output", "model"):
            if not getattr(self, what):
                raise ValueError(f"{what} is empty. Say what is meant.")
        for what, known in (
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("freeze", FREEZES),
            ("strategy", STRATEGIES),
            ("on_error", ON_ERROR),
        ):
            if getattr(self, what) not in known:
                raise ValueError(unknown_name(what, getattr(self, what), known))
        parse_loss(self.loss)
        for what in (
            *("batch_size", "epochs", "learning_rate", "checkpoint_steps"),
            *("steps_per_epoch", "early_stop", "max_minutes"),
        ):
            value = getattr(self, what)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{what} must be positive. Received: {value}")
        for what in ("weight_decay", "auxiliary_weight", "seed", "overlays"):
            if not 0 <= getattr(self, what) < math.inf:
                raise ValueError(f"{what} must not be negative. Received: {getattr(self, what)}")
        if self.seed >= 2**32:
            raise ValueError(f"seed must be less than 2**32. Received: {self.seed}")
        if self.schedule == "step" and not self.schedule_options.step_epochs:
            raise ValueError(
                'schedule "step" needs schedule_options.step_epochs, such as [20]. Received: none'
            )
        for what in ("crop", "resize"):
            size = getattr(self, what)
            if size is not None and (len(size) != 2 or min(size) < 1):
                raise ValueError(f"{what} must be (height, width) in pixels. Received: {size}")
        pixels = self.batch_size * math.prod(self.crop)
        if pixels >= 2**31:  # TensorFlow counts the elements of some tensors with 32 bits
            raise ValueError(
                f"crop and batch_size must make less than 2**31 pixels a step. Received: "
                f"{list(self.crop)} and {self.batch_size}, which are {pixels:,}"
            )

    def to_yaml(self) -> str:
        return yaml.safe_dump(to_record(self), sort_keys=False)

    @classmethod
    def from_yaml(cls, path: str | Path) -> Recipe:
        """Reads what `to_yaml` wrote; ValueError for unknown keys, with the nearest known one."""
        record = read_yaml(path)
        try:
            return from_record(record, cls)
        except (ValueError, TypeError) as error:  # the latter for what is missing or no number
            raise ValueError(f"{path}: {error}") from error
