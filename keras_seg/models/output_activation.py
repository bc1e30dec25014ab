"""The output activation of a Keras model, read from its layers.

Layers of other packages are read from the graph that TensorFlow makes of them. On other backends
they are unknown, and the values of the output decide.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras

from keras_seg import output_activation as kinds
from keras_seg.layers.backend import on_tensorflow
from keras_seg.layers.tensors import Tensor
from keras_seg.output_activation import OutputActivation, TensorSource, find_output_activation

FUNCTIONS = {
    "linear": kinds.LINEAR,
    "relu": kinds.BOUNDS,
    "relu6": kinds.BOUNDS,
    "exp": kinds.EXPONENT,
    "exponential": kinds.EXPONENT,
    "logsigmoid": "log_sigmoid",
    "logsoftmax": "log_softmax",
    "log_softmax_v2": "log_softmax",
    "hardsigmoid": "hard_sigmoid",
    "softmax_v2": "softmax",
    "sparse_sigmoid": "hard_sigmoid",
    "sparsesigmoid": "hard_sigmoid",
    **{name: name for name in kinds.KNOWN},
}
"""Name of a function of Keras or TensorFlow, in lower case → its kind."""
WITH_FUNCTION = (
    "Conv1D",
    "Conv2D",
    "DepthwiseConv2D",
    "SeparableConv2D",
    "Conv2DTranspose",
    "Dense",
    "EinsumDense",
    "QuantizedConv2D",
    "QuantizedDepthwiseConv2D",
    "QuantizedConv2DTranspose",
    "QuantizedDense",
)
"""Layers with unbounded values that apply an activation at their end."""
KINDS = {
    kinds.PASSES: (
        "AveragePooling2D",
        "Cropping2D",
        "Dropout",
        "Flatten",
        "GaussianDropout",
        "GaussianNoise",
        "Identity",
        "MaxPooling2D",
        "Reshape",
        "Resizing",
        "SpatialDropout2D",
        "UpSampling2D",
        "ZeroPadding2D",
        "ActivityRegularization",
        "AveragePool",
        "Cast",
        "CropImages",
        "DepthToSpace",
        "ExpandDims",
        "Flip",
        "MaxPool",
        "Pad",
        "PadImages",
        "Ravel",
        "Repeat",
        "Resize",
        "StopGradient",
        "CropOrPad",
        "EdgePadding2D",
        "FakeQuantize",
        "MonteCarloDropout",
        "PaddedMaxPooling2D",
        "ScaleBreak",
        "SizeGuard",
        "TotalDropout",
    ),
    kinds.SLICES: ("GetItem", "Max", "Mean", "Min", "Slice", "Split", "Squeeze", "Take"),
    kinds.TRANSPOSES: ("Moveaxis", "Permute", "Swapaxes", "Transpose"),
    kinds.JOINS: ("Concatenate", "Maximum", "Minimum"),
    kinds.AVERAGES: ("Average", "Stack"),
    kinds.BOUNDS: ("Clip", "ReLU", "Relu", "Relu6"),
    kinds.ADDS: ("Add", "Subtract"),
    kinds.LINEAR: ("BatchNorm", "BatchNormalization", "Conv", "ConvTranspose"),
}
KIND_OF = {name: kind for kind, names in KINDS.items() for name in names}
"""Name of a layer or operation of Keras or this package → its kind."""
TF_KINDS = {
    kinds.PASSES: (
        "AvgPool",
        "Cast",
        "DepthToSpace",
        "EnsureShape",
        "ExpandDims",
        "Identity",
        "IdentityN",
        "MaxPool",
        "MirrorPad",
        "Pad",
        "Reshape",
        "ResizeBicubic",
        "ResizeBilinear",
        "ResizeNearestNeighbor",
        "ReverseV2",
        "StopGradient",
        "Tile",
    ),
    kinds.SLICES: ("GatherV2", "Max", "Mean", "Min", "Slice", "Split", "StridedSlice", "Squeeze"),
    kinds.TRANSPOSES: ("Transpose",),
    kinds.JOINS: ("Maximum", "Minimum"),
    kinds.AVERAGES: ("Pack",),
    kinds.BOUNDS: ("Relu", "Relu6"),
    kinds.ADDS: ("AddV2", "Sub"),
    kinds.EXPONENT: ("Exp",),
    kinds.LINEAR: ("BiasAdd", "Conv2D", "Conv2DBackpropInput", "FusedBatchNormV3", "MatMul"),
    "log_softmax": ("LogSoftmax",),
    "sigmoid": ("Sigmoid",),
    "softmax": ("Softmax",),
    "tanh": ("Tanh",),
}
TF_KIND_OF = {name: kind for kind, names in TF_KINDS.items() for name in names}
"""Type of a node in a TensorFlow graph → its kind."""
FREE_SIZE = 64
"""Pixels for a free height or width when a foreign layer is traced."""


class _Place(NamedTuple):
    """A symbolic tensor of Keras, and the calls of nested models around it."""

    tensor: keras.KerasTensor
    scope: tuple | None = None


class _Node(NamedTuple):
    """A tensor in the TensorFlow graph of one layer.

    Attributes:
        layer: name of the layer.
        sources: name of each input of the graph, with its tensor in the model.
    """

    tensor: Tensor
    layer: str
    sources: tuple[tuple[str, _Place], ...]


def model_output_activation(output: Any) -> OutputActivation:
    """The function at the output of a functional model.

    Args:
        output: `model.output`. If there are several, "logits" is used, or else the first.
    """
    if isinstance(output, dict):
        output = output.get("logits", next(iter(output.values())))
    elif isinstance(output, list | tuple):
        output = output[0]
    return find_output_activation(_Place(output), _source_of)


def _source_of(tensor: _Place | _Node) -> TensorSource:
    return _source_in_keras(tensor) if isinstance(tensor, _Place) else _source_in_graph(tensor)


def _source_in_keras(place: _Place) -> TensorSource:
    operation, index, position = place.tensor._keras_history
    node = operation._inbound_nodes[index]
    if node.is_input:
        return _outer_source(place)
    inner = getattr(operation, "_functional", None) or operation  # inside a Sequential
    if isinstance(inner, keras.Model) and hasattr(inner, "_nodes_by_depth"):
        inside = _Place(inner.outputs[position], (inner, node, place.scope))
        return TensorSource(kinds.PASSES, (inside,))
    sources = tuple(_Place(tensor, place.scope) for tensor in node.input_tensors)
    kind, axis = _kind_of(operation, place.tensor)
    if kind is None:
        return _foreign_source(operation, node, position, sources)
    return TensorSource(kind, sources, operation.name, axis)


def _outer_source(place: _Place) -> TensorSource:
    """The outer tensor that is passed to the input of a nested model."""
    if place.scope is None:
        return TensorSource(kinds.UNKNOWN)
    inner, node, scope = place.scope
    position = next(i for i, x in enumerate(inner.inputs) if x is place.tensor)
    return TensorSource(kinds.PASSES, (_Place(node.input_tensors[position], scope),))


def _kind_of(operation, output: keras.KerasTensor) -> tuple[str | None, int | None]:
    """(kind, axis of a softmax that is not over the channels); kind None for foreign layers."""
    name, package = type(operation).__name__, _package(type(operation))
    if package not in ("keras", "keras_seg"):
        return None, None
    if name in ("Activation", *WITH_FUNCTION):
        function = _function(operation.activation)
        if function == kinds.LINEAR and name == "Activation":
            return kinds.PASSES, None
        if function == kinds.BOUNDS and name != "Activation":
            return kinds.UNKNOWN, None
        return function, _other_axis(operation.activation, output)
    if name == "Concatenate" and _other_axis(operation, output) is not None:
        return kinds.AVERAGES, None  # side by side: each pixel keeps its values
    if name in KIND_OF:
        return KIND_OF[name], None
    if name.lower() in FUNCTIONS:
        return FUNCTIONS[name.lower()], _other_axis(operation, output)
    return (kinds.UNKNOWN if package == "keras_seg" else None), None


def _function(activation) -> str | None:
    """Kind of an activation; None for a foreign function."""
    named = activation if hasattr(activation, "__name__") else type(activation)
    if _package(named) not in ("keras", "tensorflow"):
        return None
    return FUNCTIONS.get(named.__name__.lower(), kinds.UNKNOWN)


def _other_axis(function, output: keras.KerasTensor) -> int | None:
    axis, rank = getattr(function, "axis", -1), len(output.shape)
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    wrong = [each for each in axes if each not in (-1, rank - 1)]
    return wrong[0] if wrong and rank == 4 else None


def _package(thing) -> str:
    return str(thing.__module__).split(".")[0]


def _foreign_source(operation, node, position: int, sources: tuple[_Place, ...]) -> TensorSource:
    """The source of a foreign layer's output, from the graph that TensorFlow makes of it."""
    if not on_tensorflow():
        return TensorSource(kinds.UNKNOWN, (), operation.name)
    import tensorflow as tf

    def call(*values):
        arguments = {id(x): value for x, value in zip(node.input_tensors, values, strict=True)}
        args, kwargs = node.arguments.fill_in(arguments)
        return keras.tree.flatten(operation(*args, **kwargs))[position]

    specs = [
        tf.TensorSpec([1 if i == 0 else size or FREE_SIZE for i, size in enumerate(x.shape)], dtype)
        for x, dtype in ((x, x.dtype) for x in node.input_tensors)
    ]
    try:
        graph = tf.function(call).get_concrete_function(*specs)
    except Exception:  # foreign layers may raise anything; the values of the output decide then
        return TensorSource(kinds.UNKNOWN, (), operation.name)
    names = [x.name for x in graph.inputs[: len(sources)]]
    output = _Node(graph.outputs[0], operation.name, tuple(zip(names, sources, strict=True)))
    return TensorSource(kinds.PASSES, (output,))


def _source_in_graph(node: _Node) -> TensorSource:
    tensor, layer, sources = node
    operator = tensor.op
    if operator.type == "Placeholder":
        place = dict(sources).get(tensor.name)
        return TensorSource(kinds.UNKNOWN if place is None else kinds.PASSES, (place,), layer)
    inputs = tuple(_Node(x, layer, sources) for x in operator.inputs)
    if operator.type == "ConcatV2":
        return TensorSource(kinds.JOINS, inputs[:-1], layer)  # the last is the axis
    if operator.type == "Split":
        return TensorSource(kinds.SLICES, inputs[1:], layer)
    if operator.type in ("IdentityN", "Unpack"):
        return TensorSource(kinds.PASSES, (inputs[tensor.value_index],), layer)
    return TensorSource(TF_KIND_OF.get(operator.type, kinds.UNKNOWN), inputs, layer)
