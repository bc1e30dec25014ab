"""Functions on tensors that several papers share."""

from __future__ import annotations

import keras
from keras import layers

from keras_seg.layers import Preprocessing, SizeGuard

BATCH_NORM_EPSILON = 1e-5
"""PyTorch's value, with which nearly all published segmentation weights were trained."""
BATCH_NORM_MOMENTUM = 0.9
"""Share of the old moving average that a step keeps; Keras' 0.99 lags on small data sets."""


def image_input(input_shape, *, preprocessing: str | None, size_multiple: int = 1):
    """Starts a network: the image input and the tensor that the first block takes.

    Shapes: image (B, H, W, C) of pixels in 0..255, H and W multiples of `size_multiple`.
    Returns: (input, normalised tensor).
    """
    image = x = keras.Input(check_input_shape(input_shape), name="image")
    if size_multiple > 1:
        x = SizeGuard(size_multiple, name="size_guard")(x)
    if preprocessing is not None:
        x = Preprocessing(preprocessing, name="preprocessing")(x)
    return image, x


def batch_norm(x, *, name: str, epsilon: float = BATCH_NORM_EPSILON):
    return layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, epsilon=epsilon, name=name)(x)


def conv_bn_act(
    x,
    filters: int,
    *,
    kernel: int = 3,
    dilation: int = 1,
    name: str,
    norm_name: str,
    activation: str | None = "relu",
):
    """Convolution without bias, batch norm, activation; (B, H, W, C) → (B, H, W, filters)."""
    x = layers.Conv2D(
        filters,
        kernel,
        padding="same",
        dilation_rate=dilation,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    x = batch_norm(x, name=norm_name)
    return layers.Activation(activation, name=f"{norm_name}.act")(x) if activation else x


def separable_conv_bn_act(x, filters: int, *, kernel: int = 3, dilation: int = 1, name: str):
    """Depthwise and pointwise convolution, each with batch norm and ReLU, as DeepLab's code has it.

    (B, H, W, C) → (B, H, W, filters). `keras.layers.SeparableConv2D` cannot say this: it has no
    norm between the two.
    """
    x = layers.DepthwiseConv2D(
        kernel,
        padding="same",
        dilation_rate=dilation,
        use_bias=False,
        depthwise_initializer="he_normal",
        name=f"{name}.depthwise",
    )(x)
    x = batch_norm(x, name=f"{name}.depthwise_bn")
    x = layers.ReLU(name=f"{name}.depthwise_act")(x)
    return conv_bn_act(
        x, filters, kernel=1, name=f"{name}.pointwise", norm_name=f"{name}.pointwise_bn"
    )


def classifier(x, num_classes: int, *, name: str):
    """1x1 convolution to raw scores: (B, H, W, C) → (B, H, W, num_classes)."""
    return layers.Conv2D(num_classes, 1, name=name)(x)


def output_scores(x, activation: str | None):
    """Ends a network: raw scores (B, H, W, num_classes), or probabilities, always in float32."""
    return layers.Activation(activation or "linear", dtype="float32", name="logits")(x)


def check_input_shape(input_shape) -> tuple[int | None, int | None, int]:
    """The shape as a tuple; ValueError unless it is (height, width, channels)."""
    try:
        height, width, channels = input_shape
    except (TypeError, ValueError):
        height = width = channels = None
    sizes_are_right = all(s is None or (isinstance(s, int) and s > 0) for s in (height, width))
    if not sizes_are_right or not isinstance(channels, int) or channels < 1:
        raise ValueError(
            "input_shape must be (height, width, channels), with None for a free height or width. "
            f"Received: {input_shape!r}"
        )
    return height, width, channels


def check_classes(num_classes: int, activation: str | None) -> None:
    """Raises ValueError for a class count or an activation that makes no segmentation network."""
    if not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"num_classes must be a whole number from 1. Received: {num_classes!r}")
    if activation not in (None, "softmax", "sigmoid"):
        raise ValueError(
            f"activation must be None (logits), 'softmax' or 'sigmoid'. Received: {activation!r}"
        )
    if num_classes == 1 and activation == "softmax":
        raise ValueError(
            "num_classes=1 needs activation 'sigmoid' or None, since a softmax over one class is "
            "always 1. Received: activation='softmax'"
        )
