"""Turns any Keras model into the functional model that all parts of this package work on."""

from __future__ import annotations

import inspect

import keras

EXAMPLE = "model = keras.Sequential([keras.Input((256, 256, 3)), ...])"


def as_functional(
    model: keras.Model,
    input_shape: tuple[int | None, int | None, int] | None = None,
    *,
    only_to_run: bool = False,
) -> keras.Model:
    """A functional model that shares the layers and weights of `model`.

    - Functional models, and classes derived from them, are returned unchanged.
    - A Sequential with an `Input` keeps its size. One that was built by a call has the size and
      the batch of that call, and gets a free size where its layers allow it.
    - The `call` of a subclassed model is traced with a symbolic image, so that its layers are
      found. It must consist of Keras layers and `keras.ops`.

    Args:
        model: a Keras model that has been built.
        input_shape: (height, width, channels) of the image, None for a free height or width. By
            default the shape that the model was built for.
        only_to_run: turn a model whose `call` cannot be traced into one layer. It runs, but cannot
            be exported.

    Returns: a functional `keras.Model`.

    Raises: TypeError for anything but a Keras model; ValueError for a model that was never built,
        whose image is not known, or whose `call` cannot be traced.

    Example:

        model = keras.Sequential([keras.Input((64, 64, 3)), keras.layers.Conv2D(2, 1)])
        network = keras_seg.models.as_functional(model)
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"A Keras model is expected. Received: {type(model).__name__}.")
    if not isinstance(model, keras.Sequential) and hasattr(model, "_nodes_by_depth"):
        return model
    if not model.built:
        raise ValueError(
            f"The model {model.name!r} ({type(model).__name__}) was never called, so it has no "
            "weights. Train it or load its weights first; a Sequential is built by an Input: "
            f"{EXAMPLE}"
        )
    if isinstance(model, keras.Sequential):
        return _of_sequential(model, input_shape, only_to_run)
    return _of_subclass(model, input_shape, only_to_run)


def built_shape(model: keras.Model) -> tuple | None:
    """(height, width, channels) of the image that a model was built for; None if it is not known.

    For a Sequential or subclassed model, the shape of its first call.
    """
    if isinstance(model, keras.Sequential) or hasattr(model, "_nodes_by_depth"):
        shapes = [tuple(x.shape) for x in model.inputs or ()]
    else:
        shapes = list((getattr(model, "_build_shapes_dict", None) or {}).values())
    if len(shapes) != 1 or not isinstance(shapes[0], tuple | list) or len(shapes[0]) != 4:
        return None
    return tuple(shapes[0][1:])


def _of_sequential(
    model: keras.Sequential, input_shape: tuple | None, only_to_run: bool
) -> keras.Model:
    if model.inputs is None:  # several inputs, or shapes that cannot be inferred
        return _of_subclass(model, input_shape, only_to_run)
    own = model.inputs[0]
    if own.shape[0] is None or len(own.shape) != 4:  # its author wrote an Input
        return keras.Model(own, model.outputs[0], name=model.name)
    free = (None, None, own.shape[-1])
    for shape in filter(None, (input_shape, free, own.shape[1:])):
        image = keras.Input(shape, name="image")
        x = image
        try:
            for layer in model.layers:
                x = layer(x)
        except Exception:  # from layers that need one size, such as Flatten
            continue
        if shape != free or None in (x.shape[1:3] if len(x.shape) == 4 else ()):
            return keras.Model(image, x, name=model.name)
    return keras.Model(own, model.outputs[0], name=model.name)


def _of_subclass(model: keras.Model, input_shape: tuple | None, only_to_run: bool) -> keras.Model:
    known = built_shape(model)
    if input_shape is None and known is None:
        raise ValueError(
            f"The model {model.name!r} ({type(model).__name__}) does not say what image it takes. "
            "Pass input_shape=(height, width, channels)."
        )
    arguments, error = _inference_arguments(model), None
    shapes = [input_shape] if input_shape is not None else [(None, None, known[2]), known]
    for shape in shapes:
        image = keras.Input(shape, name="image")
        try:
            return keras.Model(image, model.call(image, **arguments), name=model.name)
        except Exception as failure:  # foreign code may raise anything for a symbolic image
            error = failure
            if only_to_run:
                return keras.Model(image, model(image, **arguments), name=model.name)
    raise ValueError(
        f"The model {model.name!r} ({type(model).__name__}) cannot be followed: its call method "
        f"stops at a symbolic image with {type(error).__name__}: {_first_line(error)} Write call "
        "with Keras layers and keras.ops alone, with a different name for every layer, or build a "
        "functional model: keras.Model(inputs, outputs)."
    ) from error


def _inference_arguments(model: keras.Model) -> dict:
    return {"training": False} if "training" in inspect.signature(model.call).parameters else {}


def _first_line(error: Exception) -> str:
    line = next(iter(str(error).strip().splitlines()), "").strip()[:200]
    return line if line.endswith(".") else f"{line}."
