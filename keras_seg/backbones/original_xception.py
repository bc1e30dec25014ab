"""Xception as first published. Chollet: Xception: Deep Learning with Depthwise Separable
Convolutions, CVPR 2017, arXiv:1610.02357, figure 5.

Layer names are those of timm's `legacy_xception` (`block3.rep.1.pointwise`).
"""

from __future__ import annotations

from keras import KerasTensor, layers

from keras_seg import blocks
from keras_seg.arguments import choice
from keras_seg.blocks import BATCH_NORM_EPSILON
from keras_seg.layers import PaddedMaxPooling2D

BLOCKS = (
    # (channels of its separable convolutions, whether the block strides)
    ((128, 128), True),
    ((256, 256), True),
    ((728, 728), True),
    *[((728, 728, 728), False)] * 8,
    ((728, 1024), True),
)
EXIT_FLOW = (1536, 2048)


def original_xception_maps(
    x: KerasTensor,
    *,
    output_stride: int = 32,
    stem_padding: str = "same",
    last_relu: bool = True,
    epsilon: float = BATCH_NORM_EPSILON,
    prefix: str = "",
) -> dict[str, KerasTensor]:
    """Xception on a tensor.

    Shapes: (B, H, W, C) → {"stride_2": (B, H/2, W/2, 64), "stride_4": 128, "stride_8": 256,
    "stride_16": 728, "stride_32": 2048}: the last block of each stride. With `output_stride` 8 or
    16 the deeper maps keep that stride under these names. Poolings keep their window, so that 8 is
    not exactly the published network.

    Args:
        stem_padding: "valid" for the first two convolutions as published, whose maps are a few
            pixels smaller than the image divided by the stride.
        last_relu: False omits the last ReLU (segmentation_models.pytorch).
        prefix: put before every layer name.

    Raises: ValueError for another stride or padding.
    """
    choice(output_stride, "output_stride", (8, 16, 32))
    choice(stem_padding, "stem_padding", ("same", "valid"))
    x = stem(x, padding=stem_padding, epsilon=epsilon, prefix=prefix)
    maps, reached = {"stride_2": x}, 2
    for i, (widths, strides) in enumerate(BLOCKS, start=1):
        after = 2 * reached if strides else reached
        x = residual_block(
            x,
            widths,
            starts_with_relu=i > 1,
            projected=strides,
            pooled=strides,
            stride=2 if strides and after <= output_stride else 1,
            dilation=max(1, reached // output_stride),
            epsilon=epsilon,
            name=f"{prefix}block{i}",
        )
        reached = after
        maps[f"stride_{reached}"] = x
    for i, filters in enumerate(EXIT_FLOW, start=3):
        x = separable_conv(
            x,
            filters,
            dilation=max(1, reached // output_stride),
            epsilon=epsilon,
            name=f"{prefix}conv{i}",
            norm_name=f"{prefix}bn{i}",
        )
        if last_relu or i < 3 + len(EXIT_FLOW) - 1:
            x = layers.ReLU(name=f"{prefix}act{i}")(x)
    return maps | {"stride_32": x}


def stem(
    x: KerasTensor, *, padding: str, epsilon: float = BATCH_NORM_EPSILON, prefix: str = ""
) -> KerasTensor:
    """Two 3x3 convolutions, the first with stride 2: (B, H, W, C) → (B, H/2, W/2, 64)."""
    for i, (filters, stride) in enumerate(((32, 2), (64, 1)), start=1):
        x = blocks.conv_bn_act(
            x,
            filters,
            stride=stride,
            padding=padding,
            epsilon=epsilon,
            name=f"{prefix}conv{i}",
            norm_name=f"{prefix}bn{i}",
        )
    return x


def residual_block(
    x: KerasTensor,
    widths: tuple[int, ...],
    *,
    starts_with_relu: bool,
    projected: bool,
    pooled: bool,
    stride: int,
    dilation: int,
    epsilon: float = BATCH_NORM_EPSILON,
    name: str,
) -> KerasTensor:
    """ReLU and separable convolution in turn, perhaps a 3x3 pooling, beside a shortcut.

    Args:
        projected: whether the shortcut is a 1x1 convolution.
        pooled: whether the block ends in a pooling with `stride`.
    """
    shortcut = x
    if projected:
        shortcut = blocks.conv_bn_act(
            x,
            widths[-1],
            kernel=1,
            stride=stride,
            activation=None,
            epsilon=epsilon,
            name=f"{name}.skip",
            norm_name=f"{name}.skipbn",
        )
    place = 0
    for i, width in enumerate(widths):
        if i > 0 or starts_with_relu:
            x = layers.ReLU(name=f"{name}.rep.{place}")(x)
            place += 1
        x = separable_conv(
            x,
            width,
            dilation=dilation,
            epsilon=epsilon,
            name=f"{name}.rep.{place}",
            norm_name=f"{name}.rep.{place + 1}",
        )
        place += 2
    if pooled:
        x = PaddedMaxPooling2D(stride, name=f"{name}.rep.{place}")(x)
    return layers.Add(name=f"{name}.add")([x, shortcut])


def separable_conv(
    x: KerasTensor, filters: int, *, dilation: int, epsilon: float, name: str, norm_name: str
) -> KerasTensor:
    """Depthwise and pointwise convolution with one batch norm after both."""
    x = blocks.depthwise_conv2d(x, dilation=dilation, name=f"{name}.conv1")
    return blocks.conv_bn_act(
        x,
        filters,
        kernel=1,
        activation=None,
        epsilon=epsilon,
        name=f"{name}.pointwise",
        norm_name=norm_name,
    )
