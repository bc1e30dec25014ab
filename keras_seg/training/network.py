"""The network of a recipe: built, given initial weights, and frozen."""

from __future__ import annotations

import inspect

import keras

from keras_seg import backbones, models
from keras_seg.training.recipe import Recipe
from keras_seg.weights import set_weights


def output_channels(recipe: Recipe, num_classes: int) -> int:
    """Number of output channels for data of `num_classes`: 1 for two, if the recipe says so."""
    return 1 if recipe.num_classes == 1 else num_classes


def build_model(
    recipe: Recipe, num_classes: int, *, policy: str | None = None, synchronized: bool = False
) -> keras.Model:
    """Builds the recipe's network for images of any size, with initial weights and frozen layers.

    Args:
        recipe: the recipe.
        num_classes: number of output channels, see `output_channels`.
        policy: Keras dtype policy; None for the recipe's.
        synchronized: whether batch norm uses the statistics of all devices.

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
        take_weights(model, recipe.initial_weights)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = synchronized
    freeze(model, recipe)
    return model


def take_weights(model: keras.Model, path: str) -> None:
    """Copies the weights from a `model.keras` of the same network.

    Raises: ValueError that names the first layer that differs.
    """
    source = models.load(path)
    pairs = zip(model.weights, source.weights, strict=False)
    wrong = next((ours for ours, theirs in pairs if ours.shape != theirs.shape), None)
    if wrong is not None or len(model.weights) != len(source.weights):
        where = "" if wrong is None else f" from {wrong.path} of shape {tuple(wrong.shape)} on"
        raise ValueError(
            f"initial_weights {path} belongs to another network{where}: {len(source.weights)} "
            f"weights, {model.name} has {len(model.weights)}. Use the same model, model_options "
            "and classes."
        )
    set_weights(model, source.get_weights())


def freeze(model: keras.Model, recipe: Recipe) -> None:
    """Freezes the backbone's batch norms, with their statistics, or all its layers."""
    if recipe.freeze == "none":
        return
    norms = keras.layers.BatchNormalization
    for layer in backbone_layers(model, recipe):
        if recipe.freeze == "backbone" or isinstance(layer, norms):
            layer.trainable = False


def backbone_layers(model: keras.Model, recipe: Recipe) -> list[keras.layers.Layer]:
    """The layers of the model that belong to its backbone and have weights.

    Raises: ValueError for a network without a backbone.
    """
    name = backbone_name(recipe)
    encoder = backbones.build(name, (None, None, recipe.channels))
    names = {layer.name for layer in encoder.layers if layer.weights}
    layers = [layer for layer in model.layers if layer.name in names]
    if not layers:
        raise ValueError(f"No layer of {recipe.model} has a name of its backbone {name}.")
    return layers


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
