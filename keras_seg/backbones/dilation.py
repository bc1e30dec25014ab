"""Dilated variants of networks that come with stride 32."""

from __future__ import annotations

import keras
from keras import layers

from keras_seg.blocks import BATCH_NORM_MOMENTUM

CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)


def dilate(model: keras.Model, output_stride: int) -> keras.Model:
    """A copy of a functional model, weights included, whose maps stop shrinking at `output_stride`.

    Every stride beyond it becomes 1 and the convolutions behind it are dilated instead, so that
    each kernel sees the same pixels as before. A ZeroPadding2D before such a convolution becomes
    symmetric, by the dilated radius. Batch norms get this package's momentum: MobileNetV2's own
    0.999 would need thousands of steps before the averages mean anything.
    """
    strides = _strides(model)

    def clone(layer):
        config = layer.get_config()
        if isinstance(layer, CONVOLUTIONS):
            before, after = strides[layer.name]
            # Strided convolutions above the target keep the dilation reached so far.
            dilation = max(1, before // output_stride)
            if after > output_stride:
                config["strides"] = (1, 1)
            if dilation > 1 and max(layer.kernel_size) > 1:
                config["dilation_rate"] = (dilation, dilation)
        elif isinstance(layer, layers.BatchNormalization):
            config["momentum"] = BATCH_NORM_MOMENTUM
        elif isinstance(layer, layers.ZeroPadding2D):
            (convolution,) = (node.operation for node in layer._outbound_nodes)
            before, after = strides[convolution.name]
            if after > output_stride:
                radius = max(1, before // output_stride) * (max(convolution.kernel_size) // 2)
                config["padding"] = ((radius, radius), (radius, radius))
        return type(layer).from_config(config)

    dilated = keras.models.clone_model(model, clone_function=clone)
    dilated.set_weights(model.get_weights())
    return dilated


def _strides(model: keras.Model) -> dict[str, tuple[int, int]]:
    """Layer name → (input size / size before the layer, input size / size after it)."""
    strides: dict[str, tuple[int, int]] = {}
    for layer in model.layers:
        parents = [
            parent.operation.name
            for node in layer._inbound_nodes
            for parent in node.parent_nodes
            if parent.operation.name in strides
        ]
        before = max((strides[name][1] for name in parents), default=1)
        step = max(getattr(layer, "strides", None) or (1,))
        strides[layer.name] = (before, before * step)
    return strides
