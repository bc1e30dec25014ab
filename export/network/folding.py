"""Numbers of layers that become one convolution."""

from __future__ import annotations

import numpy as np
from keras import layers

from keras_seg.layers import LayerScale


def folded(layer, norm: layers.BatchNormalization | None) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a convolution and the batch norm behind it.

    A channel's step grows with its weights, so folding before or after rounding is the same.
    """
    kernel = np.asarray(layer.kernel, np.float32)
    bias = np.asarray(layer.bias, np.float32) if layer.use_bias else np.float32(0)
    if norm is None:
        return kernel, bias
    scale, offset = scale_and_offset(norm, len(np.asarray(norm.moving_mean)))
    if isinstance(layer, layers.DepthwiseConv2D):
        by_channel = np.reshape(scale, kernel.shape[2:])
    else:
        by_channel = scale[:, None] if isinstance(layer, layers.Conv2DTranspose) else scale
    return kernel * by_channel, bias * scale + offset


def scale_and_offset(layer, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """y = x * scale + offset of a layer that computes with numbers a channel."""
    if isinstance(layer, layers.BatchNormalization):
        mean, variance = np.asarray(layer.moving_mean), np.asarray(layer.moving_variance)
        scale = (np.asarray(layer.gamma) if layer.scale else 1.0) / np.sqrt(
            variance + layer.epsilon
        )
        offset = (np.asarray(layer.beta) if layer.center else 0.0) - mean * scale
    elif isinstance(layer, LayerScale):
        scale, offset = np.asarray(layer.gamma), 0.0
    else:
        scale, offset = layer.scale, layer.offset
    return tuple(
        np.broadcast_to(value, (channels,)).astype(np.float32) for value in (scale, offset)
    )
