"""The pixel range that a network takes and the kind of its output, read from its layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, layers

from keras_seg.layers import BatchNormalization, LocalResponseNormalization, Preprocessing
from keras_seg.layers.size_guard import size_taken

SMALL = (0.5, 20.0)
"""Range of the span from black to white that suits the first convolution."""
LOOKED_THROUGH = (
    layers.UpSampling2D,
    layers.ZeroPadding2D,
    layers.Cropping2D,
    layers.Reshape,
    layers.Permute,
    layers.Dropout,
    layers.Identity,
)
"""Layers that keep probabilities, besides those that only resize."""
RESIZING = ("Resize", "Resizing", "CropOrPad", "EdgePadding2D", "PasteWindow", "Cast")


class _Met(Exception):
    """Carries the first layer with weights and its input."""


def pixel_range(model: keras.Model | None) -> str | None:
    """The pixel range that the first layers of a model map to small numbers.

    Returns: "0..255", "0..1" or "0..65535"; "raw" if the first weights get the pixels unchanged;
        None if it is unknown, or irrelevant because a normalization comes first.
    """
    if model is None:
        return None
    graph = graph_of(model)
    if graph is None or len(getattr(graph.input, "shape", ())) != 4:
        return _range_of_layers(model)
    size, channels = size_taken(graph), graph.input.shape[-1]
    if channels is None:
        return None
    black_and_white = np.zeros((2, *size, channels), np.float32)
    black_and_white[1] = 255
    met = _first_weights(graph, keras.ops.convert_to_tensor(black_and_white))
    if met is None:
        return None
    operation, value, passed = met
    norms = (layers.BatchNormalization, layers.LayerNormalization, layers.GroupNormalization)
    normed = isinstance(operation, norms) or LocalResponseNormalization.__name__ in passed
    value = keras.ops.convert_to_numpy(keras.ops.cast(value, "float32"))
    if value.shape[0] != 2 or not np.isfinite(value).all():
        return None
    middle = value[(slice(None), *(size // 2 for size in value.shape[1:-1]))]
    span, black = float(np.abs(middle[1] - middle[0]).mean()), float(middle[0].mean())
    pixels = _range_of_span(span, black)
    return None if normed and pixels in ("raw", "0..1") else pixels


def _range_of_span(span: float, black: float) -> str | None:
    low, high = SMALL
    for name, white in (("0..255", 255), ("0..65535", 65535)):
        if low <= span / 255 * white <= high:
            return name
    if 200 <= span <= 300:
        return "0..255" if black < -50 else "raw"
    return "0..1" if low <= span / 255 <= high or span > 300 else None


def _first_weights(graph: Any, image: Any) -> tuple[Any, Any, set[str]] | None:
    """(layer, its input, names of the layers before it) for the first layer with weights."""
    passed: set[str] = set()

    def followed(operation: Any) -> Callable:
        if isinstance(operation, keras.Model) and graph_of(operation) is not None:
            return lambda inputs, **options: graph_of(operation)._run_through_graph(
                inputs, operation_fn=followed
            )

        def applied(*arguments: Any, **options: Any) -> Any:
            if getattr(operation, "weights", None) and not _only_normalises(operation):
                raise _Met(operation, keras.tree.flatten(arguments)[0])
            passed.add(type(operation).__name__)
            if len(getattr(operation, "variables", ())) > len(getattr(operation, "weights", ())):
                return arguments[0]  # random; running it would change the draws of the training
            return operation(*arguments, **options)

        return applied

    try:
        graph._run_through_graph(image, operation_fn=followed)
    except _Met as met:
        return (*met.args, passed)
    except Exception:  # a layer of the user may refuse this input; then the range is unknown
        return None
    return None


def _only_normalises(layer: Any) -> bool:
    """Whether the weights of a layer are a fixed scale and offset per channel.

    That is also a frozen depthwise convolution of 1x1, which quantization-aware training makes of
    the layer that normalises pixels.
    """
    if isinstance(layer, layers.DepthwiseConv2D):
        return tuple(layer.kernel_size) == (1, 1) and not layer.trainable
    return isinstance(layer, layers.Normalization)


def _range_of_layers(model: keras.Model) -> str | None:
    """The pixel range of a model without a graph, from its layers that normalise pixels."""
    for layer in model._flatten_layers():
        if isinstance(layer, Preprocessing):
            return "0..255"
        if isinstance(layer, layers.Rescaling) and np.ndim(layer.scale) == 0:
            return _range_of_span(float(layer.scale) * 255, float(np.mean(layer.offset)))
    return None


def graph_of(model: Any) -> Any:
    """The functional graph of a model; None for a subclassed model."""
    graph = getattr(model, "_functional", None) or model  # a Sequential contains one
    return graph if hasattr(graph, "_run_through_graph") else None


def heads(model: keras.Model, image: np.ndarray | None = None) -> dict[str, str | None]:
    """The kind of each output: "logits", "softmax", "sigmoid", or None if unknown.

    Args:
        model: the network.
        image: (1, H, W, C) to run the model on, if its layers do not show the kind.
    """
    graph = graph_of(model)
    outputs = None if graph is None else graph.output
    if outputs is None:
        return {"": _head_of_values(model, image)}
    if not isinstance(outputs, dict):
        outputs = dict(enumerate(outputs)) if isinstance(outputs, list | tuple) else {"": outputs}
    kinds = {str(name): _head(output) for name, output in outputs.items()}
    if len(kinds) == 1 and None in kinds.values():
        return dict.fromkeys(kinds, _head_of_values(model, image))
    return kinds


def _head(tensor: Any) -> str | None:
    """The kind of an output, from the last operation that decides its values."""
    for operation in _back(tensor):
        name = type(operation).__name__
        if name in ("Softmax", "Sigmoid"):
            return name.lower()
        if name == "Activation" or hasattr(operation, "kernel_size") or name == "Dense":
            function = getattr(operation, "activation", None)
            activation = "linear" if function is None else getattr(function, "__name__", "")
            if activation in ("softmax", "sigmoid"):
                return activation
            if activation != "linear":
                return None
            if name != "Activation":
                return "logits"
        elif not isinstance(operation, LOOKED_THROUGH) and name not in RESIZING:
            return None
    return None


def _back(tensor: Any) -> Iterator[Any]:
    """The operations that lead to a tensor, from the last to the first, along first inputs."""
    while True:
        history = getattr(tensor, "_keras_history", None)
        if history is None or not history.operation._inbound_nodes:
            return
        operation, node = history.operation, history.operation._inbound_nodes[history.node_index]
        graph = graph_of(operation) if isinstance(operation, keras.Model) else None
        if graph is not None and node.arguments.keras_tensors:
            inner = keras.tree.flatten(graph.output)[history.tensor_index]
            yield from _back(inner)
            return
        yield operation
        if not node.arguments.keras_tensors:
            return
        tensor = node.arguments.keras_tensors[0]


def _head_of_values(model: keras.Model, image: np.ndarray | None) -> str | None:
    if image is None or not getattr(model, "built", False):
        return None
    try:
        scores = model(image, training=False)
    except Exception:  # a model of the user may take other inputs; then the kind is unknown
        return None
    if not hasattr(scores, "shape"):
        return None
    scores = keras.ops.convert_to_numpy(keras.ops.cast(scores, "float32"))
    if not np.isfinite(scores).all():
        return None
    if scores.min() < 0 or scores.max() > 1:
        return "logits"
    if scores.shape[-1] > 1 and np.abs(scores.sum(-1) - 1).max() < 1e-3:
        return "softmax"
    return "sigmoid" if np.ptp(scores) > 0 else None


def single_value_norms(
    model: keras.Model, shape: tuple[int, int, int, int], *, replicas: int = 1
) -> tuple[list[str], list[str]]:
    """Trainable batch norms that get a single value per channel.

    Layers inside other layers than models are not seen.

    Args:
        model: the network.
        shape: (images of one device, H, W, C).
        replicas: number of devices, over which a synchronized batch norm computes statistics.

    Returns: names of those that can handle it, and of those that cannot.
    """
    graph = graph_of(model)
    if graph is None or not hasattr(graph.input, "shape"):
        return [], []
    coping, spoilt = [], []

    def check(layer: Any, tensor: Any) -> None:
        axis = layer.axis % len(tensor.shape)
        sizes = [size for i, size in enumerate(tensor.shape) if i != axis]
        together = replicas if getattr(layer, "synchronized", False) else 1
        if layer.trainable and all(size == 1 for size in sizes) and together == 1:
            copes = isinstance(layer, BatchNormalization) and not layer.renormalizes
            (coping if copes else spoilt).append(layer.name)

    def followed(operation: Any) -> Callable:
        def spec(*arguments: Any, **options: Any) -> Any:
            if isinstance(operation, layers.BatchNormalization):
                check(operation, arguments[0])
            return operation.compute_output_spec(*arguments, **options)

        def nested(inputs: Any, **options: Any) -> Any:
            return graph_of(operation)._run_through_graph(inputs, operation_fn=followed)

        is_graph = isinstance(operation, keras.Model) and graph_of(operation) is not None
        return nested if is_graph else spec

    graph._run_through_graph(KerasTensor(shape), operation_fn=followed)
    return coping, spoilt
