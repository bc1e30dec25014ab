"""Weights of layers that fold into one convolution."""

from __future__ import annotations

import numpy as np
from keras import layers

from keras_seg.layers import LayerScale


def folded(
    layer: layers.Layer, norm: layers.BatchNormalization | None
) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a convolution with the batch norm behind it.

    The quantization step of a channel scales with its weights, so folding before or after rounding
    gives the same numbers.
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


def scale_and_offset(layer: layers.Layer, channels: int) -> tuple[np.ndarray, np.ndarray]:
    """(scale, offset) of a layer that computes y = x * scale + offset per channel."""
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
