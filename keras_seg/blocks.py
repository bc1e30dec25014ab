"""Functions on tensors that several papers share."""

from __future__ import annotations

from functools import partial

import keras
import numpy as np
from keras import layers

from keras_seg.layers import BatchNormalization, CropOrPad, Preprocessing, Resize, SizeGuard

BATCH_NORM_EPSILON = 1e-5
"""PyTorch's value, with which nearly all published segmentation weights were trained."""
BATCH_NORM_MOMENTUM = 0.9
"""Share of the old moving average that a step keeps; Keras' 0.99 lags on small data sets."""
NARROW = 16
"""Below so many channels the gradient of a strided 1x1 convolution overwrites foreign memory on
CPUs (https://github.com/uxlfoundation/oneDNN/issues/6035), so every second pixel is taken first."""


def image_input(
    input_shape,
    *,
    preprocessing: str | None,
    size_multiple: int = 1,
    size_offset: int = 0,
    smallest_size: int | None = None,
):
    """Starts a network: the image input and the tensor that the first block takes.

    Shapes: image (B, H, W, C) of pixels in 0..255, H and W multiples of `size_multiple`, plus
    `size_offset`, and no less than `smallest_size`.
    Returns: (input, normalised tensor).
    """
    image = x = keras.Input(check_input_shape(input_shape), name="image")
    if size_multiple > 1 or smallest_size is not None:
        x = SizeGuard(size_multiple, size_offset, smallest_size, name="size_guard")(x)
    if preprocessing is not None:
        x = Preprocessing(preprocessing, name="preprocessing")(x)
    return image, x


def batch_norm(x, *, name: str, epsilon: float = BATCH_NORM_EPSILON):
    return BatchNormalization(momentum=BATCH_NORM_MOMENTUM, epsilon=epsilon, name=name)(x)


def conv_bn_act(
    x,
    filters: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    name: str,
    norm_name: str | None,
    activation: str | None = "relu",
    use_bias: bool = False,
    padding: str = "same",
    epsilon: float = BATCH_NORM_EPSILON,
):
    """Convolution (see `conv2d`), batch norm, activation; (B, H, W, C) → (B, H/s, W/s, filters).

    norm_name: name of the batch norm; None for a network without.
    """
    x = conv2d(
        x,
        filters,
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        use_bias=use_bias,
        padding=padding,
        name=name,
    )
    if norm_name is not None:
        x = batch_norm(x, name=norm_name, epsilon=epsilon)
    return layers.Activation(activation, name=f"{norm_name or name}.act")(x) if activation else x


def conv2d(
    x,
    filters: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    use_bias: bool = False,
    padding: str = "same",
    name: str,
):
    """Convolution whose padding is the same on all sides, also with a stride, as PyTorch's is.

    (B, H, W, C) → (B, ceil(H/s), ceil(W/s), filters); padding="valid" pads nothing. Keras' own
    "same" pads even sizes below and to the right only when it strides, which shifts every
    published kernel by a pixel; padding="keras_same" is for weights that Keras trained.
    """
    if stride > 1 and kernel > 1 and padding == "same":
        x = layers.ZeroPadding2D(dilation * (kernel // 2), name=f"{name}.pad")(x)
    if stride > 1 and kernel == 1 and x.shape[-1] < NARROW:
        x = layers.MaxPooling2D(1, strides=stride, name=f"{name}.subsample")(x)
        stride = 1
    if padding != "keras_same":
        padding = "valid" if stride > 1 else padding
    return layers.Conv2D(
        filters,
        kernel,
        strides=stride,
        padding=padding.removeprefix("keras_"),
        dilation_rate=dilation,
        use_bias=use_bias,
        kernel_initializer="he_normal",
        name=name,
    )(x)


def depthwise_conv2d(
    x, *, kernel: int = 3, stride: int = 1, dilation: int = 1, padding: str = "same", name: str
):
    """Depthwise convolution without bias, padded as `conv2d` pads; (B, H/s, W/s, C)."""
    if stride > 1 and padding == "same":
        x = layers.ZeroPadding2D(dilation * (kernel // 2), name=f"{name}.pad")(x)
        padding = "valid"
    return layers.DepthwiseConv2D(
        kernel,
        strides=stride,
        padding=padding.removeprefix("keras_"),
        dilation_rate=dilation,
        use_bias=False,
        depthwise_initializer="he_normal",
        name=name,
    )(x)


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


def upsample(x, *, method: str, filters: int, grid: str = "half_pixel", like=None, name: str):
    """Doubles a map, as decoders do: (B, H, W, C) → (B, 2H, 2W, filters), or C channels if resized.

    Args:
        method: "transposed" (2x2 convolution with bias, whose windows do not overlap), "bilinear"
            or "nearest".
        filters: channels of the transposed convolution; nothing else changes their number.
        grid: of the resizing, see `keras_seg.layers.Resize`.
        like: a tensor whose height and width the result takes exactly, where an encoder rounded.
    """
    if method != "transposed":
        resize = Resize(None if like is not None else 2, grid=grid, interpolation=method, name=name)
        return resize(x) if like is None else resize(x, like=like)
    x = layers.Conv2DTranspose(filters, 2, strides=2, kernel_initializer="he_normal", name=name)(x)
    return x if like is None else CropOrPad("top_left", name=f"{name}.fit")(x, like=like)


def residual_unit(
    x,
    filters: int,
    *,
    main: str,
    shortcut: str,
    stride: int = 1,
    preactivation: bool = True,
    shortcut_kernel: int = 1,
    shortcut_norm: bool = False,
    padding: str = "same",
    epsilon: float = BATCH_NORM_EPSILON,
):
    """Full pre-activation residual unit: (norm, ReLU, 3x3) twice, plus a convolved shortcut.

    He, Zhang, Ren, Sun: Identity Mappings in Deep Residual Networks, ECCV 2016, arXiv:1603.05027.
    (B, H, W, C) → (B, H/stride, W/stride, filters). Convolutions have biases.

    Args:
        main, shortcut: names of the two paths; a layer is `<path>.<position>`.
        preactivation: False leaves out the first norm and ReLU, for a unit that takes the image.
    """

    def norm_relu(x, position):
        x = batch_norm(x, name=f"{main}.{position}", epsilon=epsilon)
        return layers.ReLU(name=f"{main}.{position + 1}")(x)

    conv = partial(conv2d, filters=filters, use_bias=True, padding=padding)
    start = 2 if preactivation else 0
    y = norm_relu(x, 0) if preactivation else x
    y = conv(y, stride=stride, name=f"{main}.{start}")
    y = norm_relu(y, start + 1)
    y = conv(y, name=f"{main}.{start + 3}")
    x = conv(x, kernel=shortcut_kernel, stride=stride, name=f"{shortcut}.0")
    if shortcut_norm:
        x = batch_norm(x, name=f"{shortcut}.1", epsilon=epsilon)
    return layers.Add(name=f"{main}.add")([y, x])


def squeeze_excite(x, *, ratio: int, name: str):
    """Weighs each channel by what all channels hold on average; (B, H, W, C) → (B, H, W, C).

    Hu, Shen, Sun: Squeeze-and-Excitation Networks, CVPR 2018, arXiv:1709.01507. The hidden layer
    has C / ratio units, at least one; neither layer has a bias.
    """
    channels = x.shape[-1]
    dense = partial(layers.Dense, use_bias=False, kernel_initializer="he_normal")
    w = layers.GlobalAveragePooling2D(name=f"{name}.pool")(x)
    w = dense(max(1, channels // ratio), name=f"{name}.0")(w)
    w = layers.ReLU(name=f"{name}.1")(w)
    w = dense(channels, name=f"{name}.2")(w)
    w = layers.Activation("sigmoid", name=f"{name}.3")(w)
    w = layers.Reshape((1, 1, channels), name=f"{name}.reshape")(w)
    return layers.Multiply(name=f"{name}.scale")([x, w])


def attention_gate(
    x, encoder_map, *, single: bool = False, epsilon: float = BATCH_NORM_EPSILON, name: str
):
    """Multiplies a decoder map by what the encoder and itself make of each pixel.

    As ResUNet++ has it: no sigmoid, so the product is unbounded.
    (B, H, W, C) and an encoder map (B, 2H, 2W, E) → (B, H, W, C).

    Args:
        single: one factor a pixel (by a 1x1 convolution) instead of one a channel (3x3).
    """

    def norm_relu_conv(x, filters, path, kernel=3):
        x = batch_norm(x, name=f"{name}.{path}.0", epsilon=epsilon)
        x = layers.ReLU(name=f"{name}.{path}.1")(x)
        return conv2d(x, filters, kernel=kernel, use_bias=True, name=f"{name}.{path}.2")

    channels = x.shape[-1]
    g = norm_relu_conv(encoder_map, channels, "g_conv")
    g = layers.MaxPooling2D(name=f"{name}.g_conv.3")(g)
    g = layers.Add(name=f"{name}.add")([g, norm_relu_conv(x, channels, "x_conv")])
    filters, kernel = (1, 1) if single else (channels, 3)
    g = norm_relu_conv(g, filters, "gc_conv", kernel)
    return layers.Multiply(name=f"{name}.gate")([g, x])


def classifier(x, num_classes: int, *, kernel: int = 1, name: str):
    """Convolution with bias to raw scores: (B, H, W, C) → (B, H, W, num_classes)."""
    return layers.Conv2D(num_classes, kernel, padding="same", name=name)(x)


def output_scores(x, activation: str | None, *, name: str = "logits"):
    """Ends a network: raw scores (B, H, W, num_classes), or probabilities, always in float32."""
    return layers.Activation(activation or "linear", dtype="float32", name=name)(x)


def check_input_shape(input_shape) -> tuple[int | None, int | None, int]:
    """The shape as a tuple; ValueError unless it is (height, width, channels)."""
    try:
        height, width, channels = input_shape
    except (TypeError, ValueError):
        height = width = channels = None
    if isinstance(channels, np.integer):  # shapes often come out of an array
        height, width, channels = (None if n is None else int(n) for n in input_shape)
    sizes_are_right = all(s is None or (isinstance(s, int) and s > 0) for s in (height, width))
    if not sizes_are_right or not isinstance(channels, int) or channels < 1:
        raise ValueError(
            "input_shape must be (height, width, channels), with None for a free height or width. "
            f"Received: {input_shape!r}"
        )
    if height in (1, 3, 4) and channels > 16 and (width is None or width > 16):
        raise ValueError(
            f"input_shape is (height, width, channels). Received: {input_shape!r}, in which the "
            f"channels seem to come first. Write {(width, channels, height)!r}."
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


def check_choice(option: str, value, choices) -> None:
    """Raises ValueError if the value of an option is none of those that it can have."""
    if value not in tuple(choices):  # of which a mapping would not take a list
        raise ValueError(f"{option} must be one of {tuple(choices)}. Received: {value!r}")


def check_stage_widths(stages) -> None:
    """Raises ValueError unless there is a list of channel counts for each stage."""
    if not all(isinstance(widths, list | tuple) for widths in stages):
        raise ValueError(
            "widths must hold a list for each stage, with the channels of its convolutions, such "
            f"as [[64, 64], [128, 128]]. Received: {stages!r}"
        )
    for widths in stages:
        check_widths(widths, at_least=1)


def check_widths(widths, at_least: int) -> None:
    """Raises ValueError unless widths are whole channel counts, `at_least` so many."""
    listed = isinstance(widths, list | tuple)
    if not listed or len(widths) < at_least or any(type(w) is not int or w < 1 for w in widths):
        raise ValueError(
            f"widths must be {at_least} or more whole numbers, one a resolution. "
            f"Received: {widths!r}"
        )
