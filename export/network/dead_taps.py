"""Dilated convolutions without the kernel taps that only ever read padding.

A tap whose distance from the centre is at least the length of the map reads padding at every
position. In DeepLab's pyramid at stride 16 with rates 6, 12 and 18, the last branch is a 1x1
convolution for images of up to 288 pixels: the same sums with a ninth of the multiplications.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from keras_seg.export.network.copies import share_weights
from keras_seg.weights import set_weights

DILATED = (layers.Conv2D, layers.DepthwiseConv2D)


def without_dead_taps(model: keras.Model) -> keras.Model:
    """A copy of a functional network of fixed size; `model` if no tap is dead."""
    sizes = {layer.name: live_size(layer) for layer in model.layers}
    if not any(sizes.values()):
        return model

    def copy(layer: keras.Layer) -> keras.Layer:
        size, config = sizes.get(layer.name), layer.get_config()
        if size:
            config["kernel_size"] = size
            if size == (1, 1):  # nothing is left to dilate
                config["dilation_rate"] = (1, 1)
        return type(layer).from_config(config)

    trimmed = keras.models.clone_model(model, clone_function=copy)
    for source in model.layers:
        if not source.weights:
            continue
        target, size = trimmed.get_layer(source.name), sizes[source.name]
        if not size:
            share_weights(target, source)
            continue
        kernel, *others = source.get_weights()
        set_weights(target, [_middle(kernel, size), *others])
    return trimmed


def live_size(layer: keras.Layer) -> tuple[int, int] | None:
    """Height and width of the live part of a kernel; None if all of it is live, or unknown."""
    if type(layer) not in DILATED or len(layer._inbound_nodes) != 1:
        return None
    if (
        layer.padding != "same"
        or tuple(layer.strides) != (1, 1)
        or layer.data_format != "channels_last"
    ):
        return None
    lengths, live = layer.input.shape[1:3], []
    for size, rate, length in zip(layer.kernel_size, layer.dilation_rate, lengths, strict=True):
        if length is None or size % 2 == 0:
            return None
        live.append(min(size, 2 * ((length - 1) // rate) + 1))
    return tuple(live) if live != list(layer.kernel_size) else None


def _middle(kernel: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    top, left = ((before - after) // 2 for before, after in zip(kernel.shape, size, strict=False))
    return kernel[top : top + size[0], left : left + size[1]]
