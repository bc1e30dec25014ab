"""Data and network of a recipe."""

from __future__ import annotations

import inspect

import keras

from keras_seg import backbones, models
from keras_seg.data.cached import CachedDataset
from keras_seg.data.classes import ClassTable
from keras_seg.data.open import open_dataset
from keras_seg.data.resized import ResizedDataset
from keras_seg.data.weighted import WeightedDataset
from keras_seg.training.recipe import Recipe
from keras_seg.weights import set_weights


def open_data(recipe: Recipe, split: str) -> CachedDataset:
    """The data set of a recipe as the network sees it, kept in memory as far as it fits."""
    classes = None if recipe.classes is None else ClassTable(tuple(recipe.classes))
    dataset = open_dataset(
        recipe.data, split, classes=classes, channels=recipe.channels, on_error=recipe.on_error
    )
    if recipe.resize is not None:
        dataset = ResizedDataset(dataset, recipe.resize)
    if recipe.border_weights and split == "train":
        dataset = WeightedDataset(dataset)
    return CachedDataset(dataset)


def check_network(recipe: Recipe) -> None:
    """Raises ValueError for a network that there is not, and entries that it has no part for."""
    models.find(recipe.model)
    if recipe.freeze != "none" or recipe.optimizer_options.head_rate != 1:
        backbone_name(recipe)


def check_classes(recipe: Recipe, classes: ClassTable) -> None:
    """Raises ValueError if the recipe's num_classes contradicts the data's class table."""
    if recipe.num_classes not in (None, len(classes)):
        raise ValueError(
            f"num_classes={recipe.num_classes} contradicts the data: {recipe.data} has "
            f"{len(classes)} classes ({', '.join(classes.names)}). Leave num_classes out, or "
            "correct classes.json."
        )


def build_model(
    recipe: Recipe, num_classes: int, *, policy: str | None = None, synchronized: bool = False
) -> keras.Model:
    """The recipe's network, free in height and width, frozen as the recipe says.

    Args:
        policy: of precision; None for what the recipe says.
        synchronized: batch norm over all devices.
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
    model.compute_output_shape((None, *recipe.crop, recipe.channels))  # refuses a wrong crop
    if recipe.initial_weights is not None:
        take_weights(model, recipe.initial_weights)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = synchronized
    freeze(model, recipe)
    return model


def take_weights(model: keras.Model, path: str) -> None:
    """Takes the weights of a model.keras of the same network, all or none.

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
    """Makes the backbone's batch norms, or all its layers, untrainable; statistics stay, too."""
    if recipe.freeze == "none":
        return
    norms = keras.layers.BatchNormalization
    for layer in backbone_layers(model, recipe):
        if recipe.freeze == "backbone" or isinstance(layer, norms):
            layer.trainable = False


def backbone_layers(model: keras.Model, recipe: Recipe) -> list[keras.layers.Layer]:
    """The layers with weights that a network's encoder has, in their own names.

    Raises: ValueError for a network without a backbone.
    """
    name = backbone_name(recipe)
    encoder = backbones.build(name, (None, None, recipe.channels))
    names = {layer.name for layer in encoder.layers if layer.weights}
    found = [layer for layer in model.layers if layer.name in names]
    if not found:
        raise ValueError(f"No layer of {recipe.model} has a name of its backbone {name}.")
    return found


def backbone_name(recipe: Recipe) -> str:
    """Raises ValueError for a network without a backbone."""
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
