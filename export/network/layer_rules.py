"""What TFLite's integer kernels make of each kind of layer."""

from __future__ import annotations

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
"""Layers that do nothing once the network is trained."""
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
"""Layers whose output has the integers of their inputs, or means of them."""
MEANS = (layers.AveragePooling2D, layers.UpSampling2D, Resize)
"""Those of them that round, since they put out means."""
PER_CHANNEL = (layers.BatchNormalization, LayerScale, Preprocessing)
"""y = x * scale + offset with numbers a channel: a 1x1 depthwise convolution for TFLite."""
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
"""What becomes integer operators. The insides of other layers have no ranges: they stay float."""
IMAGE = (0.0, 255.0)
"""A network takes pixels, so that the bytes of a camera are its input as they are."""
FIXED = {
    "sigmoid": (0.0, 255 / 256),
    "softmax": (0.0, 255 / 256),
    "tanh": (-1.0, 127 / 128),
    "hard_sigmoid": (0.0, 1.0),  # which its rounding cuts off at; TFLite leaves it open
}
"""Ranges that TFLite prescribes for the outputs of these functions."""


def function_of(operation) -> str | None:
    """Name of the function that a layer without weights applies to each value, None if none."""
    if isinstance(operation, layers.ReLU):
        plain = not operation.negative_slope and not operation.threshold
        return {None: "relu", 6: "relu6"}.get(operation.max_value) if plain else None
    if isinstance(operation, layers.Softmax):
        return "softmax"
    if isinstance(operation, layers.Activation):
        return getattr(operation.activation, "__name__", None)
    return None


def last_function_of(operation) -> str | None:
    """The same, also of the function that a convolution ends with."""
    if isinstance(operation, CONVOLUTIONS):
        return getattr(operation.activation, "__name__", None)
    return function_of(operation)


def hands_on(operation) -> bool:
    """Whether a layer puts out the integers that it takes, or means of them."""
    return isinstance(operation, SAME_RANGE) or function_of(operation) == "linear"


def stays_float(operation) -> bool:
    """Whether a file computes a layer in float, because its insides have no ranges."""
    return not isinstance(operation, (FakeQuantize, layers.InputLayer, *ONE_OPERATOR))


def by_channel(operation) -> bool:
    """Whether a layer is y = x * scale + offset with numbers a channel, and not a row, say."""
    if isinstance(operation, layers.BatchNormalization):
        return operation.axis in (-1, operation.input_spec.ndim - 1)
    return isinstance(operation, PER_CHANNEL)
