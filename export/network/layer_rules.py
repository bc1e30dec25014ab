"""Rules for each kind of layer.

How TFLite's integer kernels compute it, and whether it can be computed on the small map of a
sub-pixel convolution, before the map is enlarged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

from keras_seg.layers import (
    CropOrPad,
    DepthToSpace,
    EdgePadding2D,
    FakeQuantize,
    LayerScale,
    MaxPoolingWithIndices2D,
    MaxUnpooling2D,
    PaddedMaxPooling2D,
    ParityPlanes,
    Preprocessing,
    Resize,
    ScaleBreak,
    SizeGuard,
    TotalDropout,
)

CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.Conv2DTranspose, layers.Dense)
DROPOUTS = (layers.Dropout, layers.SpatialDropout2D, TotalDropout)
IDENTITIES = (*DROPOUTS, SizeGuard)
"""Layers that do nothing at inference."""
SAME_RANGE = (
    *IDENTITIES,
    layers.AveragePooling2D,
    layers.Concatenate,
    layers.Cropping2D,
    layers.Flatten,
    layers.MaxPooling2D,
    layers.Maximum,
    layers.Minimum,
    layers.Reshape,
    layers.UpSampling2D,
    layers.ZeroPadding2D,
    CropOrPad,
    DepthToSpace,
    EdgePadding2D,
    MaxPoolingWithIndices2D,
    MaxUnpooling2D,
    PaddedMaxPooling2D,
    Resize,
)
"""Layers that pass integers through, or average them, in the same range."""
MEANS = (layers.AveragePooling2D, layers.UpSampling2D, Resize)
"""Those of them that compute means, and therefore round."""
PER_CHANNEL = (layers.BatchNormalization, LayerScale, Preprocessing)
"""y = x * scale + offset per channel, which a 1x1 depthwise convolution can compute."""
ARITHMETIC = (layers.Add, layers.Multiply, layers.Subtract)
ONE_OPERATOR = (
    *CONVOLUTIONS,
    *SAME_RANGE,
    *ARITHMETIC,
    layers.Activation,
    layers.GlobalAveragePooling2D,
    layers.LeakyReLU,
    layers.ReLU,
    ParityPlanes,
    ScaleBreak,
)
"""Layers that become integer operators. Others stay float: their inner tensors have no ranges."""
IMAGE = (0.0, 255.0)
"""Range of the image: camera bytes are its integers."""
FIXED = {
    "sigmoid": (0.0, 255 / 256),
    "softmax": (0.0, 255 / 256),
    "tanh": (-1.0, 127 / 128),
    "hard_sigmoid": (0.0, 1.0),  # not prescribed, but rounding clips the values to it
}
"""Ranges that TFLite prescribes for the outputs of these functions."""
FOLLOWING_FUNCTIONS = ("linear", "relu", "relu6")
"""Functions that are separate layers and can be applied before a map is enlarged."""
ELEMENTWISE = {
    keras.activations.get(name)
    for name in (
        "linear",
        "relu",
        "relu6",
        "leaky_relu",
        "elu",
        "selu",
        "celu",
        "gelu",
        "silu",
        "mish",
        "sigmoid",
        "log_sigmoid",
        "hard_sigmoid",
        "hard_silu",
        "tanh",
        "hard_tanh",
        "softplus",
        "softsign",
        "exponential",
    )
}
"""Activations that are element-wise; softmax, for one, reads all channels."""
ELEMENTWISE_LAYERS = (layers.ReLU, layers.LeakyReLU, layers.ELU)
"""Layers, given as an activation, that are element-wise."""


def function_of(operation: keras.Operation) -> str | None:
    """Name of the element-wise function, or softmax, that a layer without weights applies."""
    if isinstance(operation, layers.ReLU):
        plain = not operation.negative_slope and not operation.threshold
        return {None: "relu", 6: "relu6"}.get(operation.max_value) if plain else None
    if isinstance(operation, layers.Softmax):
        return "softmax"
    if isinstance(operation, layers.Activation):
        return getattr(operation.activation, "__name__", None)
    return None


def last_function_of(operation: keras.Operation) -> str | None:
    """The same, or the name of the activation of a convolution."""
    if isinstance(operation, CONVOLUTIONS):
        return getattr(operation.activation, "__name__", None)
    return function_of(operation)


def keeps_range(operation: keras.Operation) -> bool:
    """Whether a layer passes integers through, or averages them."""
    return isinstance(operation, SAME_RANGE) or function_of(operation) == "linear"


def stays_float(operation: keras.Operation) -> bool:
    """Whether a file computes a layer in float, because its inner tensors have no ranges."""
    return not isinstance(operation, (FakeQuantize, layers.InputLayer, *ONE_OPERATOR))


def is_scale_and_offset(operation: keras.Operation) -> bool:
    """Whether a layer is y = x * scale + offset per channel, and not per row, say."""
    if isinstance(operation, layers.BatchNormalization):
        return operation.axis in (-1, operation.input_spec.ndim - 1)
    return isinstance(operation, PER_CHANNEL)


def is_elementwise(activation: Callable[[Any], Any] | None) -> bool:
    """Whether the activation of a convolution is known to be element-wise."""
    return isinstance(activation, ELEMENTWISE_LAYERS) or activation in ELEMENTWISE


def may_have_weights(activation: Callable[[Any], Any] | None) -> bool:
    """Whether an activation is a layer like PReLU, whose weights are made at its first call."""
    return isinstance(activation, layers.Layer) and not isinstance(
        activation, (*ELEMENTWISE_LAYERS, layers.Softmax)
    )


def is_per_channel(operation: keras.Operation) -> bool:
    """Whether a layer computes each value from that value and weights of its channel alone."""
    if isinstance(operation, layers.BatchNormalization):
        return is_scale_and_offset(operation)
    if isinstance(operation, layers.DepthwiseConv2D):
        return (
            operation.kernel_size == operation.strides == (1, 1)
            and operation.depth_multiplier == 1
            and is_elementwise(operation.activation)
        )
    return function_of(operation) in FOLLOWING_FUNCTIONS


def can_read_small_map(layer: keras.Operation) -> bool:
    """Whether a convolution behind an up-sampling can be a sub-pixel convolution."""
    return (
        type(layer) is layers.Conv2D
        and layer.kernel_size[0] == layer.kernel_size[1]
        and layer.kernel_size[0] % 2 == 1
        and layer.strides == layer.dilation_rate == (1, 1)
        and layer.groups == 1
        and (layer.padding == "same" or layer.kernel_size == (1, 1))
        and layer.data_format == "channels_last"
        and not may_have_weights(layer.activation)
    )


def can_be_subpixel_transposed(layer: keras.Operation) -> bool:
    """Whether a transposed convolution, one without padding, can be a sub-pixel convolution."""
    return (
        type(layer) is layers.Conv2DTranspose
        and layer.kernel_size[0] == layer.kernel_size[1]
        and layer.strides[0] == layer.strides[1] <= layer.kernel_size[0]
        and layer.dilation_rate == (1, 1)
        and layer.output_padding is None
        and (layer.padding == "valid" or layer.kernel_size == layer.strides)
        and layer.data_format == "channels_last"
        and not may_have_weights(layer.activation)
    )
