"""Building blocks that several papers share, as functions on tensors."""

from __future__ import annotations

from functools import partial

import keras
from keras import KerasTensor, layers

from keras_seg.arguments import image_shape
from keras_seg.layers import BatchNormalization, CropOrPad, Preprocessing, Resize, SizeGuard
from keras_seg.layers.size_guard import nearest_sizes, size_error

BATCH_NORM_EPSILON = 1e-5
"""PyTorch's value, with which nearly all published segmentation weights were trained."""
BATCH_NORM_MOMENTUM = 0.9
"""Share of the moving average that survives a step; Keras' 0.99 lags on small data sets."""
NARROW = 16
"""With fewer channels the gradient of a strided 1x1 convolution writes outside its buffer on CPUs
(https://github.com/uxlfoundation/oneDNN/issues/6035), so the map is subsampled first."""


def image_input(
    input_shape: tuple[int | None, int | None, int],
    *,
    preprocessing: str | None,
    size_multiple: int = 1,
    size_offset: int = 0,
    smallest_size: int | None = None,
) -> tuple[KerasTensor, KerasTensor]:
    """Begins a network with the image input, a check of its size and the normalisation of pixels.

    Shapes: image (B, H, W, C) of pixels in 0..255. H and W are `size_offset` plus a multiple of
    `size_multiple`, and at least `smallest_size`.
    Returns: (input, normalised tensor).
    Raises: ValueError for a shape that is not (height, width, channels), and for a size that does
        not fit, before any layer is built.
    """
    input_shape = image_shape(input_shape)
    sizes = (size_multiple, size_offset, smallest_size)
    if message := size_error(input_shape[:2], *sizes):
        fitting = [
            nearest_sizes(size, *sizes)[-1] if size and size_error((size, None), *sizes) else size
            for size in input_shape[:2]
        ]
        raise ValueError(f"{message} Write input_shape={(*fitting, input_shape[2])}.")
    image = x = keras.Input(input_shape, name="image")
    if size_multiple > 1 or smallest_size is not None:
        x = SizeGuard(*sizes, name="size_guard")(x)
    if preprocessing is not None:
        x = Preprocessing(preprocessing, name="preprocessing")(x)
    return image, x


def batch_norm(x: KerasTensor, *, name: str, epsilon: float = BATCH_NORM_EPSILON) -> KerasTensor:
    """Batch normalisation with PyTorch's epsilon; the shape stays."""
    return BatchNormalization(momentum=BATCH_NORM_MOMENTUM, epsilon=epsilon, name=name)(x)


def conv_bn_act(
    x: KerasTensor,
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
) -> KerasTensor:
    """Convolution (see `conv2d`), batch norm, activation: (B, H, W, C) → (B, H/s, W/s, filters).

    Args:
        norm_name: name of the batch norm; None for no batch norm.
        activation: None for none.
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
    x: KerasTensor,
    filters: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    use_bias: bool = False,
    padding: str = "same",
    name: str,
) -> KerasTensor:
    """Convolution that pads all sides equally, also with a stride, as PyTorch does.

    With a stride, Keras' own "same" pads even sizes below and to the right only. That would shift
    every published kernel by one pixel.

    Shapes: (B, H, W, C) → (B, ceil(H/s), ceil(W/s), filters).

    Args:
        padding: "same"; "valid" for no padding; "keras_same" for weights trained with Keras.
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
    x: KerasTensor,
    *,
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    padding: str = "same",
    name: str,
) -> KerasTensor:
    """Depthwise convolution without bias, padded as in `conv2d`; (B, H/s, W/s, C)."""
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


def separable_conv_bn_act(
    x: KerasTensor, filters: int, *, kernel: int = 3, dilation: int = 1, name: str
) -> KerasTensor:
    """Depthwise and pointwise convolution, each with batch norm and ReLU, as in DeepLab's code.

    `keras.layers.SeparableConv2D` has no norm between the two.

    Shapes: (B, H, W, C) → (B, H, W, filters).
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


def upsample(
    x: KerasTensor,
    *,
    method: str,
    filters: int,
    grid: str = "half_pixel",
    like: KerasTensor | None = None,
    name: str,
) -> KerasTensor:
    """Doubles height and width, as decoders do.

    Shapes: (B, H, W, C) → (B, 2H, 2W, filters) by a transposed convolution, else (B, 2H, 2W, C).

    Args:
        method: "transposed" (2x2 convolution with bias; its windows do not overlap), "bilinear"
            or "nearest".
        filters: channels of the transposed convolution.
        grid: sampling grid of the resizing, see `keras_seg.layers.Resize`.
        like: a tensor whose exact height and width the result takes, where an encoder rounded.
    """
    if method != "transposed":
        resize = Resize(None if like is not None else 2, grid=grid, interpolation=method, name=name)
        return resize(x) if like is None else resize(x, like=like)
    x = layers.Conv2DTranspose(filters, 2, strides=2, kernel_initializer="he_normal", name=name)(x)
    return x if like is None else CropOrPad("top_left", name=f"{name}.fit")(x, like=like)


def residual_unit(
    x: KerasTensor,
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
) -> KerasTensor:
    """Full pre-activation residual unit: (norm, ReLU, 3x3) twice, plus a convolved shortcut.

    He, Zhang, Ren, Sun: Identity Mappings in Deep Residual Networks, ECCV 2016, arXiv:1603.05027.
    The convolutions have biases.

    Shapes: (B, H, W, C) → (B, H/stride, W/stride, filters).

    Args:
        main, shortcut: names of the two paths; a layer is called `<path>.<position>`.
        preactivation: False omits the first norm and ReLU, for a unit that takes the image.
        shortcut_norm: batch norm after the shortcut convolution.
    """

    def norm_relu(x: KerasTensor, position: int) -> KerasTensor:
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


def squeeze_excite(x: KerasTensor, *, ratio: int, name: str) -> KerasTensor:
    """Scales each channel by a factor computed from the means of all channels; the shape stays.

    Hu, Shen, Sun: Squeeze-and-Excitation Networks, CVPR 2018, arXiv:1709.01507. The hidden layer
    has C / ratio units, at least one. Neither layer has a bias.
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
    x: KerasTensor,
    encoder_map: KerasTensor,
    *,
    single: bool = False,
    epsilon: float = BATCH_NORM_EPSILON,
    name: str,
) -> KerasTensor:
    """Multiplies a decoder map by factors computed from it and from an encoder map, per pixel.

    As in ResUNet++, without a sigmoid, so the product is unbounded.

    Shapes: decoder map (B, H, W, C), encoder map (B, 2H, 2W, E) → (B, H, W, C).

    Args:
        single: one factor per pixel (1x1 convolution) instead of one per channel (3x3).
    """

    def norm_relu_conv(x: KerasTensor, filters: int, path: str, kernel: int = 3) -> KerasTensor:
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


def classifier(x: KerasTensor, num_classes: int, *, kernel: int = 1, name: str) -> KerasTensor:
    """Convolution with bias that gives logits: (B, H, W, C) → (B, H, W, num_classes)."""
    return layers.Conv2D(num_classes, kernel, padding="same", name=name)(x)


def output_scores(
    x: KerasTensor, activation: str | None = None, *, name: str = "logits"
) -> KerasTensor:
    """Ends a network: logits, or probabilities with an activation, always in float32."""
    return layers.Activation(activation or "linear", dtype="float32", name=name)(x)
