"""Copies of layers, by their configurations."""

from __future__ import annotations

import keras

from keras_seg.export.errors import ExportError


def copy_of(layer: keras.layers.Layer, config: dict) -> keras.layers.Layer:
    """A layer of the same class by another configuration, without weights.

    Raises: ExportError for a class that does not say how its layers were made.
    """
    try:
        return type(layer).from_config(config)
    except (NotImplementedError, TypeError) as error:
        raise ExportError(
            f"The layer {layer.name!r} ({type(layer).__name__}) cannot be copied: {error} It "
            "needs a get_config with all arguments of its __init__, which takes **kwargs."
        ) from error


def config_of(layer: keras.layers.Layer) -> dict:
    """Its configuration; ExportError for a class without one."""
    try:
        return layer.get_config()
    except NotImplementedError as error:
        raise ExportError(
            f"The layer {layer.name!r} ({type(layer).__name__}) cannot be copied: {error}"
        ) from error
