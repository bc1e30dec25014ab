"""Tensors in PyTorch's layout → the weights of a Keras model, one to one."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
from keras import layers

LISTED = 12
"""Names that an error lists before it counts the rest."""

NORM_TENSORS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
NORMS = (layers.BatchNormalization, layers.LayerNormalization)
AXES = {
    # layer class: axes of PyTorch's kernel in Keras' order
    layers.Conv2DTranspose: (2, 3, 1, 0),  # in, out, h, w → h, w, out, in
    layers.DepthwiseConv2D: (2, 3, 0, 1),  # channels, 1, h, w → h, w, channels, 1
    layers.Conv2D: (2, 3, 1, 0),  # out, in, h, w → h, w, in, out
    layers.Dense: (1, 0),  # out, in → in, out
}


class DoesNotFit(ValueError):
    """Tensors that are not those of a model.

    share: of all names of tensors and weights, those without a partner of their shape.
    """

    def __init__(self, message: str, share: float):
        super().__init__(message)
        self.share = share


def load_strictly(
    model: keras.Model,
    tensors: Mapping[str, np.ndarray],
    published: Mapping[str, str] | None = None,
) -> None:
    """Sets every weight of a model from exactly one tensor, and uses every tensor.

    A layer named `a.b` takes `a.b.weight`, `a.b.bias`, ..., as PyTorch calls them; a weight of a
    layer of our own takes the tensor `<layer>.<weight>`.

    Args:
        published: what a renamed tensor is called in its file, for the error.

    Raises: DoesNotFit, a ValueError, that lists the tensors left over, the weights left out, the
        shapes that differ and the tensors of values that no weight can have. The model is not
        changed then.
    """
    wanted = {
        tensor_name(layer, weight): (layer, weight)
        for layer in model.layers
        for weight in layer.weights
        if "seed_generator" not in weight.path
    }
    missing = sorted(set(wanted) - set(tensors))
    unused = [_called(name, published) for name in sorted(set(tensors) - set(wanted))]
    values = {
        name: as_keras(layer, weight, tensors[name])
        for name, (layer, weight) in wanted.items()
        if name in tensors
    }
    differing = [
        f"{_called(name, published)}: {tuple(tensors[name].shape)} for a weight of "
        f"{tuple(weight.shape)}"
        for name, (_, weight) in wanted.items()
        if name in values and values[name].shape != tuple(weight.shape)
    ]
    unfit = [_called(name, published) for name in values if not _is_finite(values[name])]
    if missing or unused or differing or unfit:
        raise DoesNotFit(
            "The checkpoint does not fit the model. "
            + _listed("Weights that no tensor sets", missing)
            + _listed("Tensors that no weight takes", unused)
            + _listed("Shapes that differ", differing)
            + _listed("Tensors of other values than finite float32 numbers", unfit)
            + "Check the source name and the options.",
            share=len({*missing, *unused, *differing}) / max(1, len({*wanted, *tensors})),
        )
    for name, (_, weight) in wanted.items():
        weight.assign(values[name])


def tensor_name(layer: keras.Layer, weight: keras.Variable) -> str:
    """The name of a weight's tensor in a PyTorch state dict."""
    leaf = weight.name
    if isinstance(layer, NORMS):
        leaf = NORM_TENSORS[leaf]
    elif isinstance(layer, layers.PReLU) or leaf == "kernel":
        leaf = "weight"
    return f"{layer.name}.{leaf}"


def as_keras(layer: keras.Layer, weight: keras.Variable, tensor: np.ndarray) -> np.ndarray:
    """A tensor in the layout of the weight that takes it."""
    if isinstance(layer, layers.Conv2D) and tensor.ndim == 2:
        tensor = tensor[:, :, None, None]  # a linear layer on every pixel
    if tensor.ndim > 1:
        for kind, axes in AXES.items():
            if isinstance(layer, kind) and tensor.ndim == len(axes):
                return tensor.transpose(axes)
    if isinstance(layer, layers.PReLU) and tensor.size == np.prod(weight.shape):
        return tensor.reshape(tuple(weight.shape))
    return tensor


def _is_finite(tensor: np.ndarray) -> bool:
    """Whether it holds numbers that float32 can; text and complex numbers would be cast."""
    if tensor.dtype.kind not in "fiu" and tensor.dtype.name != "bfloat16":
        return False
    with np.errstate(over="ignore"):
        return bool(np.isfinite(tensor.astype(np.float32)).all())


def _called(name: str, published: Mapping[str, str] | None) -> str:
    theirs = (published or {}).get(name, name)
    return name if theirs == name else f"{name} ({theirs})"


def _listed(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{what} ({len(names)}): {', '.join(names[:LISTED])}{more}. "
