"""The network of a recipe: built, given initial weights, and frozen."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

import keras

from keras_seg import models
from keras_seg.training.recipe import Recipe


def output_channels(recipe: Recipe, num_classes: int) -> int:
    """Number of output channels for data of `num_classes`: 1 for two, if the recipe says so."""
    return 1 if recipe.num_classes == 1 else num_classes


def build_model(
    recipe: Recipe,
    num_classes: int,
    *,
    classes: Sequence[str] = (),
    policy: str | None = None,
    synchronized: bool = False,
    tell: Callable[[str], None] = lambda sentence: None,
) -> keras.Model:
    """Builds the recipe's network for images of any size, with initial weights and frozen layers.

    Args:
        recipe: the recipe.
        num_classes: number of output channels, see `output_channels`.
        classes: names of the classes.
        policy: Keras dtype policy; None for the recipe's.
        synchronized: whether batch norm uses the statistics of all devices.
        tell: takes the sentence about the initial weights.

    Raises: ValueError if the crop or the initial weights do not fit the network.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(
        policy or ("mixed_float16" if recipe.mixed_precision else "float32")
    )
    try:
        model = models.build(
            recipe.model, (None, None, recipe.channels), num_classes, **recipe.model_options
        )
    finally:
        keras.config.set_dtype_policy(before)
    model.compute_output_shape(
        (None, *recipe.crop, recipe.channels)
    )  # refuses a crop of the wrong size
    if recipe.initial_weights is not None:
        tell(models.load_weights_from(model, recipe.initial_weights, classes=classes))
    norms = batch_norms(model)
    for norm in norms:
        norm.synchronized = synchronized
        if recipe.batch_norm_momentum is not None:
            norm.momentum = recipe.batch_norm_momentum
    freeze(model, recipe)
    _check_norms(recipe, norms)
    return model


def batch_norms(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The batch norms of a model, also those of the models in it."""
    layers = model._flatten_layers()
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


def _check_norms(recipe: Recipe, norms: Sequence[keras.Layer]) -> None:
    """Raises ValueError for entries that need batch norms, if the network trains none."""
    if any(norm.trainable for norm in norms):
        return
    for entry, usual in (("batch_norm_momentum", None), ("recalibrate", False)):
        value = getattr(recipe, entry)
        if value != usual:
            raise ValueError(
                f"{entry}={value} contradicts model={recipe.model}, which trains no batch norm "
                f"with these model_options and freeze={recipe.freeze!r}. Leave {entry} out."
            )


def freeze(model: keras.Model, recipe: Recipe) -> None:
    """Freezes the backbone's batch norms, with their statistics, or all its layers."""
    if recipe.freeze == "none":
        return
    backbone_name(recipe)
    models.freeze_backbone(model, norms_only=recipe.freeze == "norms")


def backbone_name(recipe: Recipe) -> str:
    """The name of the network's backbone.

    Raises: ValueError for a network without a backbone.
    """
    parameters = inspect.signature(models.find(recipe.model).build).parameters
    name = recipe.model_options.get(
        "backbone", parameters["backbone"].default if "backbone" in parameters else None
    )
    if not isinstance(name, str):
        raise ValueError(
            "freeze and optimizer_options.head_rate are for networks with a backbone. Received: "
            f"freeze={recipe.freeze!r} and head_rate={recipe.optimizer_options.head_rate} for "
            f"{recipe.model} with backbone={name!r}. Leave them out, or choose a backbone by name."
        )
    return name
