"""Dilates networks of stride 32, and finds the maps inside any network."""

from __future__ import annotations

from collections.abc import Collection

import keras
from keras import layers

from keras_seg.blocks import BATCH_NORM_MOMENTUM
from keras_seg.layers import BatchNormalization
from keras_seg.weights import set_weights

CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)
POOLINGS = (layers.MaxPooling2D, layers.AveragePooling2D)


def dilate(model: keras.Model, output_stride: int, *, padded: Collection[str] = ()) -> keras.Model:
    """A copy of a functional model, weights included, whose maps stop shrinking at `output_stride`.

    Every stride beyond it becomes 1, and the convolutions after it are dilated instead, so that
    each kernel reads the same pixels as before. A ZeroPadding2D before such a convolution becomes
    symmetric, with the dilated radius. Poolings keep their window. Batch norms become those of this
    package, with its momentum: with MobileNetV2's 0.999 the averages need thousands of steps.

    Args:
        padded: names of convolutions without padding that become padded, so that a map at stride s
            has the size of the image / s.
    """
    strides = _strides(model)

    def clone(layer: layers.Layer, name: str | None = None) -> layers.Layer:
        """`name` is that of the Sequential around a layer, whose strides count."""
        before, after = strides[name or layer.name]
        if isinstance(layer, keras.Sequential):
            inner = [clone(one, layer.name) for one in layer.layers]
            return keras.Sequential(inner, name=layer.name)
        config = layer.get_config()
        # strided convolutions beyond the target keep the dilation reached so far
        dilation = max(1, before // output_stride)
        if isinstance(layer, CONVOLUTIONS):
            if layer.name in padded:
                config["padding"] = "same"
            if after > before and after > output_stride:
                config["strides"] = (1, 1)
                # without its stride an even kernel would shrink the map by a row
                if config["padding"] == "valid" and max(layer.kernel_size) % 2 == 0:
                    config["padding"] = "same"
            if dilation > 1 and max(layer.kernel_size) > 1:
                config["dilation_rate"] = (dilation, dilation)
        elif isinstance(layer, POOLINGS) and after > before and after > output_stride:
            config["strides"] = (1, 1)
        elif isinstance(layer, layers.BatchNormalization):
            config["momentum"] = BATCH_NORM_MOMENTUM
            return BatchNormalization.from_config(config)
        elif isinstance(layer, layers.ZeroPadding2D):
            (follower,) = (node.operation for node in layer._outbound_nodes)
            if isinstance(follower, CONVOLUTIONS) and strides[follower.name][1] > output_stride:
                radius = dilation * (max(follower.kernel_size) // 2)
                config["padding"] = ((radius, radius), (radius, radius))
        return type(layer).from_config(config)

    dilated = keras.models.clone_model(model, clone_function=clone)
    set_weights(dilated, model.get_weights())
    return dilated


def maps_by_stride(model: keras.Model) -> dict[int, keras.KerasTensor]:
    """Stride → the last map with it, before the next layer that strides.

    The maps are found by the graph, since the automatic names of layers change with the session.
    """
    strides = _strides(model)
    places = {operation: i for i, operation in enumerate(model.operations)}
    last = {}
    for operation in model.operations:
        before, after = strides[operation.name]
        if after > before > 1:
            source = _parent(operation)
            while isinstance(source, layers.ZeroPadding2D):
                source = _parent(source)
            # a shortcut strides in parallel to the main path: the later of the two is the last map
            if before not in last or places[source] > places[last[before]]:
                last[before] = source
    maps = {stride: source.output for stride, source in last.items()}
    (output,) = model.outputs
    return maps | {strides[output._keras_history.operation.name][1]: output}


def stride_of(model: keras.Model, tensor: keras.KerasTensor) -> int:
    """Input size / size of a tensor inside the model, by the strides of its layers."""
    return _strides(model)[tensor._keras_history.operation.name][1]


def _parent(operation: keras.Operation) -> keras.Operation:
    return operation._inbound_nodes[0].parent_nodes[0].operation


def _strides(model: keras.Model) -> dict[str, tuple[int, int]]:
    """Operation's name → (input size / size before it, input size / size after it)."""
    strides: dict[str, tuple[int, int]] = {}
    for operation in model.operations:
        parents = [
            parent.operation.name
            for node in operation._inbound_nodes
            for parent in node.parent_nodes
            if parent.operation.name in strides
        ]
        before = max((strides[name][1] for name in parents), default=1)
        strides[operation.name] = (before, before * _stride(operation))
    return strides


def _stride(operation: keras.Operation) -> int:
    if isinstance(operation, keras.Sequential):
        return max((_stride(layer) for layer in operation.layers), default=1)
    return max(getattr(operation, "strides", None) or (1,))
