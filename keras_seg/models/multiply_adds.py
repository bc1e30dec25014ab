"""How much a network computes: its multiply-adds at an image size, counted without running it."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras
from keras import KerasTensor, layers

from keras_seg.arguments import checked_shape
from keras_seg.layers import ChannelAttention, ObjectAttention, ObjectRegions, PositionAttention
from keras_seg.models.functional import as_functional


def multiply_adds(model: keras.Model, input_shape: tuple[int, int, int]) -> int:
    """Multiplications with an addition that the network needs for one image.

    Counted are all products with weights (convolutions, transposed and depthwise ones, dense
    layers) and all products of two maps (the attentions), as the papers count: one
    multiplication and its addition are one, where others say two FLOPs. What costs a few operations
    a pixel (norms, activations, pooling, resizing, softmax, sums) is left out.

    Args:
        model: a model of one image, of free or of that size.
        input_shape: (height, width, channels) of the image.

    Raises: ValueError for a layer with a kernel whose products it cannot count, by name.
    """
    return sum(multiply_adds_by_layer(model, input_shape).values())


def multiply_adds_by_layer(model: keras.Model, input_shape: tuple[int, int, int]) -> dict[str, int]:
    """`multiply_adds` of each layer that has any, by name, in the order of computation."""
    model, found = as_functional(model, checked_shape(input_shape)), {}

    def counted(operation):
        def spec(*arguments, **options):
            output = operation.compute_output_spec(*arguments, **options)
            count = _count(operation, keras.tree.flatten((arguments, options)), output)
            if count:
                # a layer that is called twice computes twice
                found[operation.name] = found.get(operation.name, 0) + count
            return output

        def nested(inputs, **options):
            return walked(operation, inputs)

        return nested if isinstance(operation, keras.Model) else spec

    def walked(network, inputs):
        # a Sequential, as in ConvNeXt's stem, keeps its graph in a functional model inside
        graph = getattr(network, "_functional", network)
        return graph._run_through_graph(inputs, operation_fn=counted)

    image = KerasTensor((1, *input_shape))
    walked(model, keras.tree.map_structure(lambda _: image, model.input))
    return found


def _count(operation, arguments: list, output) -> int:
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


def _convolution(layer, inputs, output) -> int:
    return math.prod(output) * math.prod(layer.kernel.shape[:-1])


def _transposed(layer, inputs, output) -> int:
    return math.prod(inputs[0]) * math.prod(layer.kernel.shape[:-1])


def _depthwise(layer, inputs, output) -> int:
    return math.prod(output) * math.prod(layer.kernel_size)


def _separable(layer, inputs, output) -> int:
    *_, channels, multiplier = layer.depthwise_kernel.shape
    positions = math.prod(output[:-1])
    return positions * channels * multiplier * (math.prod(layer.kernel_size) + output[-1])


def _dense(layer, inputs, output) -> int:
    return math.prod(output) * layer.kernel.shape[0]


def _position_attention(layer, inputs, output) -> int:
    (batch, height, width, channels), query = inputs[0], inputs[1]
    return batch * (height * width) ** 2 * (query[-1] + channels)


def _channel_attention(layer, inputs, output) -> int:
    batch, height, width, channels = inputs[0]
    return 2 * batch * height * width * channels**2


def _object_regions(layer, inputs, output) -> int:
    features, scores = inputs
    return math.prod(features) * scores[-1]


def _object_attention(layer, inputs, output) -> int:
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
    ((layers.PReLU,), lambda *_: 0),  # a slope a channel, whose array has axes of 1
)
"""(layer classes, (layer, input shapes, output shape) → multiply-adds)."""
