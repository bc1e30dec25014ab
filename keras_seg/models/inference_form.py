"""What a trained network is shipped as: without the outputs that only training needs."""

from __future__ import annotations

import keras

from keras_seg.models.functional import as_functional
from keras_seg.weights import set_weights


def for_inference(model: keras.Model) -> keras.Model:
    """The part of a model that its "logits" need; a model with one output is given back as it is.

    Extra outputs (auxiliary heads, deep supervision) and all layers that only they need go. The
    layers that stay are those of `model`, and share its weights.

    Shapes: image → logits, where `model` gave a dict with the key "logits".
    Raises: ValueError for a model that puts out several tensors without saying which is which.
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
    """A copy of a model with its weights, some layers of which have other settings.

    changes: layer name → entries of its config to replace, none of which changes a weight's shape.
    """

    def clone(layer):
        return type(layer).from_config(layer.get_config() | changes.get(layer.name, {}))

    copy = keras.models.clone_model(model, clone_function=clone)
    set_weights(copy, model.get_weights())
    return copy
