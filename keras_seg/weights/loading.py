"""Loads tensors in PyTorch's layout into a Keras model, one tensor per weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras
import numpy as np
from keras import layers

LISTED = 12
"""Number of names that an error lists; it counts the rest."""

NORM_TENSORS = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
RGB = 3
NORMS = (layers.BatchNormalization, layers.LayerNormalization)
AXES = {
    # layer class: axes of PyTorch's kernel, in Keras' order
    layers.Conv2DTranspose: (2, 3, 1, 0),  # in, out, h, w → h, w, out, in
    layers.DepthwiseConv2D: (2, 3, 0, 1),  # channels, 1, h, w → h, w, channels, 1
    layers.Conv2D: (2, 3, 1, 0),  # out, in, h, w → h, w, in, out
    layers.Dense: (1, 0),  # out, in → in, out
}


class DoesNotFit(ValueError):
    """Tensors that do not fit a model.

    Attributes:
        share: share of all names (of tensors and weights) without a partner of the same shape.
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

    A layer named `a.b` takes `a.b.weight`, `a.b.bias`, ..., as PyTorch names them. A weight of a
    layer of this package takes the tensor `<layer>.<weight>`.

    Args:
        model: the model; it is not changed if an error is raised.
        tensors: name → tensor in PyTorch's layout.
        published: name → name in the checkpoint file, for renamed tensors; used in the error.

    Raises:
        DoesNotFit: a ValueError that lists unused tensors, weights without a tensor, different
            shapes, and tensors with values that a weight cannot have.

    Example:
        tensors = {"head.weight": np.ones((2, 3, 1, 1)), "head.bias": np.zeros(2)}
        model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 1, name="head")])
        keras_seg.weights.load_strictly(model, tensors)
    """
    weight_of = {
        tensor_name(layer, weight): (layer, weight)
        for layer in model.layers
        for weight in layer.weights
        if "seed_generator" not in weight.path
    }
    missing = sorted(set(weight_of) - set(tensors))
    unused = [_called(name, published) for name in sorted(set(tensors) - set(weight_of))]
    values = {
        name: as_keras(layer, weight, tensors[name])
        for name, (layer, weight) in weight_of.items()
        if name in tensors
    }
    differing = [
        f"{_called(name, published)}: {tuple(tensors[name].shape)} for a weight of "
        f"{tuple(weight.shape)}"
        for name, (_, weight) in weight_of.items()
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
            share=len({*missing, *unused, *differing}) / max(1, len({*weight_of, *tensors})),
        )
    for name, (_, weight) in weight_of.items():
        weight.assign(values[name])


def set_weights(target: keras.Layer, values: Sequence[np.ndarray]) -> None:
    """Sets the weights of a layer or model, and the values that its layers derive from them.

    A `Normalization` computes with copies of its weights. Keras updates them when it loads a file
    but not when weights are set, so the layer would continue with a mean of 0 and a variance of 1.

    Args:
        target: the layer or model.
        values: arrays in the order of `target.weights`.

    Example:
        layer = keras.layers.Dense(2)
        layer.build((None, 3))
        keras_seg.weights.set_weights(layer, [np.ones((3, 2)), np.zeros(2)])
    """
    target.set_weights(values)
    for layer in target._flatten_layers():
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()


def fit_first_kernel(kernel: np.ndarray, channels: int, *, axis: int) -> np.ndarray:
    """Adapts the kernel of the first convolution, trained on RGB, to another number of channels.

    A single channel gets the sum over the three. More channels repeat them (R, G, B, R, ...),
    scaled by 3 / channels, so that a grey image copied to all channels gives the same result as
    before.

    Args:
        kernel: the kernel for three channels.
        channels: number of channels of the image.
        axis: axis of the kernel's input channels: 1 in PyTorch's layout, 2 in Keras'.

    Returns:
        The kernel with `channels` input channels, in the same layout and type.

    Example:
        kernel = np.ones((7, 7, 3, 64), "float32")
        grey = keras_seg.weights.fit_first_kernel(kernel, 1, axis=2)  # (7, 7, 1, 64)
    """
    if channels == 1:
        return kernel.sum(axis=axis, keepdims=True)
    turns = kernel.take(np.arange(channels) % RGB, axis=axis)
    return (turns * (RGB / channels)).astype(kernel.dtype)


def tensor_name(layer: keras.Layer, weight: keras.Variable) -> str:
    """The name of a weight's tensor in a PyTorch state dict."""
    leaf = weight.name
    if isinstance(layer, NORMS):
        leaf = NORM_TENSORS[leaf]
    elif isinstance(layer, layers.PReLU) or leaf == "kernel":
        leaf = "weight"
    return f"{layer.name}.{leaf}"


def as_keras(layer: keras.Layer, weight: keras.Variable, tensor: np.ndarray) -> np.ndarray:
    """Transposes a tensor to the layout of its weight."""
    if isinstance(layer, layers.Conv2D) and tensor.ndim == 2:
        tensor = tensor[:, :, None, None]  # a linear layer applied to every pixel
    if tensor.ndim > 1:
        for kind, axes in AXES.items():
            if isinstance(layer, kind) and tensor.ndim == len(axes):
                return tensor.transpose(axes)
    if isinstance(layer, layers.PReLU) and tensor.size == np.prod(weight.shape):
        return tensor.reshape(tuple(weight.shape))
    return tensor


def _is_finite(tensor: np.ndarray) -> bool:
    """Whether all values are finite in float32; text and complex numbers are not."""
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
