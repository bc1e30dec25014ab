"""The optimizer and the learning-rate schedule of a recipe."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from keras_seg.training.recipe import Recipe
from keras_seg.training.recipe_io import from_record, to_record


class PerVariableRules:
    """Optimizer mix-in: a learning-rate factor and a weight decay for each variable.

    The decay is added to the gradient, as in the papers. Keras' own `weight_decay` is decoupled,
    which is ten times weaker for SGD with momentum 0.9. Unlike in Keras, the moving average does
    not overwrite the weights at the end of `fit`.

    Args:
        rules: function of a variable that returns (factor of the learning rate, decay).
    """

    def __init__(
        self, *args: Any, rules: Callable[[keras.Variable], tuple[float, float]], **options: Any
    ):
        super().__init__(*args, **options)
        self._rules_of, self._rules = rules, []

    def build(self, variables: list[keras.Variable]) -> None:
        self._rules = [self._rules_of(variable) for variable in variables]
        super().build(variables)

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        factor, decay = self._rules[self._get_variable_index(variable)]
        if decay:
            gradient = gradient + ops.cast(variable, gradient.dtype) * decay
        super().update_step(gradient, variable, learning_rate * factor)

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        """Keeps the weights; Keras would overwrite them by their average."""


_KERAS = keras.optimizers
CLASSES = {
    name: type(f"Recipe{base.__name__}", (PerVariableRules, base), {})
    for name, base in {
        "sgd": _KERAS.SGD,
        "adam": _KERAS.Adam,
        "adamw": _KERAS.AdamW,
        "rmsprop": _KERAS.RMSprop,
        "nadam": _KERAS.Nadam,
        "adadelta": _KERAS.Adadelta,
    }.items()
}


def make_optimizer(
    recipe: Recipe,
    steps_per_epoch: int,
    *,
    backbone: Collection[str] = (),
    depthwise: Sequence[keras.Variable] = (),
) -> keras.optimizers.Optimizer:
    """Creates the recipe's optimizer with its schedule.

    Args:
        recipe: the recipe.
        steps_per_epoch: steps per epoch.
        backbone: paths of the variables to which `head_rate` does not apply.
        depthwise: the depthwise kernels, see `depthwise_kernels`.
    """
    options = recipe.optimizer_options
    coupled = 0.0 if recipe.optimizer == "adamw" else recipe.weight_decay
    undecayed = [] if options.decay_depthwise else list(depthwise)
    paths = {variable.path for variable in undecayed}

    def rules(variable: keras.Variable) -> tuple[float, float]:
        is_decayed = (options.decay_all or decays(variable)) and variable.path not in paths
        factor = 1.0 if variable.path in backbone else options.head_rate
        factor *= options.bias_rate if is_bias(variable) else 1.0
        return factor, coupled if is_decayed else 0.0

    arguments = {
        "learning_rate": make_schedule(recipe, steps_per_epoch),
        "global_clipnorm": options.clip_norm,
        "rules": rules,
    }
    if options.ema is not None:
        arguments |= {"use_ema": True, "ema_momentum": options.ema}
    if recipe.optimizer in ("sgd", "rmsprop"):
        arguments["momentum"] = options.momentum
    if recipe.optimizer == "sgd":
        arguments["nesterov"] = options.nesterov
    if recipe.optimizer == "adamw":
        arguments["weight_decay"] = recipe.weight_decay
    optimizer = CLASSES[recipe.optimizer](**arguments)
    if recipe.optimizer == "adamw":
        names = [] if options.decay_all else ["bias", "gamma", "beta", "alpha"]
        optimizer.exclude_from_weight_decay(var_list=undecayed, var_names=names)
    return optimizer


def decays(variable: keras.Variable) -> bool:
    """Whether weight decay applies: to kernels, not to batch norm, biases and slopes."""
    return len(variable.shape) > 1 and not variable.path.endswith(("alpha", "bias"))


def is_bias(variable: keras.Variable) -> bool:
    """Whether a variable is the bias of a layer; the offset of a batch norm is not."""
    return variable.path.rpartition("/")[2] == "bias"


def depthwise_kernels(model: keras.Model) -> list[keras.Variable]:
    """The depthwise kernels of a model.

    Their shape does not tell them apart: a convolution with one filter has the same.
    """
    kernels = []
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            kernels.append(layer.kernel)
        elif isinstance(layer, keras.layers.SeparableConv2D):
            kernels.append(layer.depthwise_kernel)
    return kernels


def make_schedule(recipe: Recipe, steps_per_epoch: int) -> float | RecipeSchedule:
    """The learning rate: a number, or a schedule if it changes with the steps."""
    plain = recipe.schedule in ("constant", "plateau")
    if plain and not recipe.schedule_options.warmup_epochs:
        return recipe.learning_rate
    return RecipeSchedule(recipe, steps_per_epoch)


class RecipeSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """rate * min(1, (step + 1) / warm-up) * fall(share of the steps after the warm-up)."""

    def __init__(self, recipe: Recipe, steps_per_epoch: int):
        super().__init__()
        self.recipe, self.steps_per_epoch = recipe, steps_per_epoch
        options = recipe.schedule_options
        self.warmup = round(options.warmup_epochs * steps_per_epoch)
        self.falling = max(1, recipe.epochs * steps_per_epoch - self.warmup)

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        share = ops.clip((step - self.warmup) / self.falling, 0.0, 1.0)
        factor = ops.maximum(self._fall(share, step), self.recipe.schedule_options.floor)
        if self.warmup:
            factor = factor * ops.minimum((step + 1) / self.warmup, 1.0)
        return self.recipe.learning_rate * factor

    def _fall(self, share: Any, step: Any) -> Any:
        options = self.recipe.schedule_options
        if self.recipe.schedule == "poly":
            return ops.power(1 - share, options.power)
        if self.recipe.schedule == "cosine":
            return (1 + ops.cos(math.pi * share)) / 2
        if self.recipe.schedule == "step":
            return ops.power(options.factor, self._falls_before(step))
        return ops.ones_like(share)

    def _falls_before(self, step: Any) -> Any:
        epoch = step / self.steps_per_epoch
        edges = self.recipe.schedule_options.step_epochs
        if len(edges) == 1:
            return ops.floor(epoch / edges[0] + 1e-6)
        return sum(ops.cast(epoch >= edge - 1e-6, "float32") for edge in edges)

    def get_config(self) -> dict:
        return {"recipe": to_record(self.recipe), "steps_per_epoch": self.steps_per_epoch}

    @classmethod
    def from_config(cls, config: dict) -> RecipeSchedule:
        return cls(from_record(config["recipe"], Recipe), config["steps_per_epoch"])


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Swaps in the moving average of the weights while the block runs, if the optimizer has one."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if not optimizer.use_ema:
        yield
        return
    pairs = list(
        zip(model.trainable_variables, optimizer._model_variables_moving_average, strict=True)
    )
    kept = [ops.convert_to_numpy(variable) for variable, _ in pairs]
    for variable, average in pairs:
        variable.assign(ops.convert_to_numpy(average))
    try:
        yield
    finally:
        for (variable, _), value in zip(pairs, kept, strict=True):
            variable.assign(value)
