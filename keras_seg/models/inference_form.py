"""Removes the outputs of a network that only training needs."""

from __future__ import annotations

import keras

from keras_seg.models.functional import as_functional
from keras_seg.weights import set_weights


def for_inference(model: keras.Model) -> keras.Model:
    """The part of a model that its "logits" need.

    Extra outputs (auxiliary heads, deep supervision) are removed with all layers that only they
    need. The remaining layers are those of `model`, and share its weights.

    Shapes: image → logits, where `model` gave a dict with the key "logits".

    Returns: a functional `keras.Model`; `model` itself if it has one output.

    Raises: ValueError for a model with several outputs, none of which is called "logits".

    Example:

        model = keras_seg.models.unetplusplus(
            (64, 64, 3), num_classes=2, widths=(8, 16, 32), deep_supervision=True
        )
        network = keras_seg.models.for_inference(model)
    """
    model = as_functional(model)
    if hasattr(model.output, "shape"):
        return model
    if not isinstance(model.output, dict) or "logits" not in model.output:
        raise ValueError(
            "for_inference needs a model with one output, or a dict with the key 'logits'. "
            f"Received: {model.name!r} with outputs {model.output}"
        )
    return keras.Model(model.input, model.output["logits"], name=model.name)


def changed_copy(model: keras.Model, changes: dict[str, dict]) -> keras.Model:
    """A copy of a model with its weights, in which some layers have other settings.

    Args:
        changes: layer name → entries of its config to replace. None may change a weight's shape.
    """

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        return type(layer).from_config(layer.get_config() | changes.get(layer.name, {}))

    copy = keras.models.clone_model(model, clone_function=clone)
    set_weights(copy, model.get_weights())
    return copy
