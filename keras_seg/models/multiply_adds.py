"""Counts the multiply-adds of a network at an image size without running it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import KerasTensor, Layer, layers

from keras_seg.arguments import checked_shape
from keras_seg.layers import ChannelAttention, ObjectAttention, ObjectRegions, PositionAttention
from keras_seg.models.functional import as_functional


def multiply_adds(model: keras.Model, input_shape: tuple[int, int, int]) -> int:
    """Multiply-adds of a network for one image.

    Counts all products with weights (convolutions, transposed and depthwise ones, dense layers)
    and all products of two maps (attention). As in the papers, a multiplication and its addition
    count as one; others count them as two FLOPs. Layers that cost a few operations per pixel
    (norms, activations, pooling, resizing, softmax, sums) are not counted.

    Args:
        model: a model of one image, with a free size or that of `input_shape`.
        input_shape: (height, width, channels) of the image.

    Raises: ValueError that names a layer whose products cannot be counted.

    Example:

        model = keras_seg.models.unet((None, None, 3), num_classes=2, widths=(8, 16, 32))
        count = keras_seg.models.multiply_adds(model, (64, 64, 3))
    """
    return sum(multiply_adds_by_layer(model, input_shape).values())


def multiply_adds_by_layer(model: keras.Model, input_shape: tuple[int, int, int]) -> dict[str, int]:
    """`multiply_adds` per layer: name → count, in the order of computation."""
    model = as_functional(model, checked_shape(input_shape))
    counts: dict[str, int] = {}

    def counted(operation: keras.Operation) -> Callable:
        def spec(*arguments: Any, **options: Any) -> Any:
            output = operation.compute_output_spec(*arguments, **options)
            count = _count(operation, keras.tree.flatten((arguments, options)), output)
            if count:
                # a layer that is called twice counts twice
                counts[operation.name] = counts.get(operation.name, 0) + count
            return output

        def nested(inputs: Any, **options: Any) -> Any:
            return walked(operation, inputs)

        return nested if isinstance(operation, keras.Model) else spec

    def walked(network: keras.Model, inputs: Any) -> Any:
        # a Sequential, as in ConvNeXt's stem, keeps its graph in a functional model inside
        graph = getattr(network, "_functional", network)
        return graph._run_through_graph(inputs, operation_fn=counted)

    image = KerasTensor((1, *input_shape))
    walked(model, keras.tree.map_structure(lambda _: image, model.input))
    return counts


def _count(operation: keras.Operation, arguments: list, output: Any) -> int:
    inputs = [argument for argument in arguments if isinstance(argument, KerasTensor)]
    for kinds, rule in RULES:
        if isinstance(operation, kinds):
            return rule(operation, [x.shape for x in inputs], keras.tree.flatten(output)[0].shape)
    if any(len(weight.shape) > 1 for weight in getattr(operation, "weights", ())):
        raise ValueError(
            f"The multiply-adds of a {type(operation).__name__} are unknown. Received: layer "
            f"{operation.name!r} with a weight of more than one axis. Add it to RULES."
        )
    return 0


def _convolution(layer: Layer, inputs: list[tuple], output: tuple) -> int:
    return math.prod(output) * math.prod(layer.kernel.shape[:-1])


def _transposed(layer: Layer, inputs: list[tuple], output: tuple) -> int:
    return math.prod(inputs[0]) * math.prod(layer.kernel.shape[:-1])


def _depthwise(layer: Layer, inputs: list[tuple], output: tuple) -> int:
    return math.prod(output) * math.prod(layer.kernel_size)


def _separable(layer: Layer, inputs: list[tuple], output: tuple) -> int:
    *_, channels, multiplier = layer.depthwise_kernel.shape
    positions = math.prod(output[:-1])
    return positions * channels * multiplier * (math.prod(layer.kernel_size) + output[-1])


def _dense(layer: Layer, inputs: list[tuple], output: tuple) -> int:
    return math.prod(output) * layer.kernel.shape[0]


def _position_attention(layer: Layer, inputs: list[tuple], output: tuple) -> int:
    (batch, height, width, channels), query = inputs[0], inputs[1]
    return batch * (height * width) ** 2 * (query[-1] + channels)


def _channel_attention(layer: Layer, inputs: list[tuple], output: tuple) -> int:
    batch, height, width, channels = inputs[0]
    return 2 * batch * height * width * channels**2


def _object_regions(layer: Layer, inputs: list[tuple], output: tuple) -> int:
    features, scores = inputs
    return math.prod(features) * scores[-1]


def _object_attention(layer: Layer, inputs: list[tuple], output: tuple) -> int:
    queries, keys, values = inputs
    return math.prod(queries[:-1]) * keys[1] * (keys[-1] + values[-1])


RULES: tuple[tuple[tuple[type, ...], Callable], ...] = (
    # subclasses first: Keras derives transposed from plain convolutions
    ((layers.Conv1DTranspose, layers.Conv2DTranspose), _transposed),
    ((layers.SeparableConv2D,), _separable),
    ((layers.DepthwiseConv2D,), _depthwise),
    ((layers.Conv1D, layers.Conv2D), _convolution),
    ((layers.Dense,), _dense),
    ((PositionAttention,), _position_attention),
    ((ChannelAttention,), _channel_attention),
    ((ObjectRegions,), _object_regions),
    ((ObjectAttention,), _object_attention),
    ((layers.PReLU,), lambda *_: 0),  # a slope per channel, in an array with axes of 1
)
"""(layer classes, (layer, input shapes, output shape) → multiply-adds)."""
