"""The original Xception as VainF/DeepLabV3Plus-Pytorch dilates it. Chollet: Xception: Deep Learning
with Depthwise Separable Convolutions, CVPR 2017, arXiv:1610.02357.

Its maps are smaller than the image over the stride: the first two convolutions and the dilated ones
at the end pad too little. Layer names are those of the repository (`block3.rep.1.pointwise`).
"""

from __future__ import annotations

from keras import layers

from keras_seg import blocks
from keras_seg.layers import PaddedMaxPooling2D
from keras_seg.option_values import one_of

BLOCKS = (
    # (channels of its separable convolutions, stride)
    ((128, 128), 2),
    ((256, 256), 2),
    ((728, 728), 2),
    *[((728, 728, 728), 1)] * 8,
    ((728, 1024), 2),
)


def vainf_xception_maps(x, *, output_stride: int = 16) -> dict:
    """Xception on a tensor: (B, H, W, C) → {"stride_4": 128 channels, "stride_32": 2048}.

    The first is the first block, the second the last convolution, without the batch norm and the
    ReLU that follow it in the published network.

    Args:
        output_stride: 8 or 16. A block that loses its stride loses its pooling, and all of it
            has the dilation that follows.

    Raises: ValueError for another stride.
    """
    one_of(output_stride, "output_stride", (8, 16))
    for i, (filters, stride) in enumerate(((32, 2), (64, 1)), start=1):
        x = blocks.conv_bn_act(
            x, filters, stride=stride, padding="valid", name=f"conv{i}", norm_name=f"bn{i}"
        )
    low_level, reached = None, 2
    for i, (widths, stride) in enumerate(BLOCKS, start=1):
        reached *= stride
        dilation = max(1, reached // output_stride)
        x = _block(
            x,
            widths,
            starts_with_relu=i > 1,
            stride=stride if reached <= output_stride else 1,
            dilation=dilation,
            name=f"block{i}",
        )
        low_level = x if low_level is None else low_level
    x = _separable_conv(x, 1536, dilation=dilation, padded=1, name="conv3")
    x = blocks.batch_norm(x, name="bn3")
    x = layers.ReLU(name="bn3.act")(x)
    x = _separable_conv(x, 2048, dilation=dilation, padded=1, name="conv4")
    return {"stride_4": low_level, "stride_32": x}


def _block(x, widths, *, starts_with_relu, stride, dilation, name):
    """ReLU and separable convolution in turn, a 3x3 pooling if it strides, beside a shortcut."""
    shortcut = x
    if x.shape[-1] != widths[-1]:
        shortcut = blocks.conv_bn_act(
            x,
            widths[-1],
            kernel=1,
            stride=stride,
            activation=None,
            name=f"{name}.skip",
            norm_name=f"{name}.skipbn",
        )
    place = 0
    for i, width in enumerate(widths):
        if i > 0 or starts_with_relu:
            x = layers.ReLU(name=f"{name}.rep.{place}")(x)
            place += 1
        x = _separable_conv(
            x, width, dilation=dilation, padded=dilation, name=f"{name}.rep.{place}"
        )
        x = blocks.batch_norm(x, name=f"{name}.rep.{place + 1}")
        place += 2
    if stride > 1:
        x = PaddedMaxPooling2D(stride, name=f"{name}.rep.{place}")(x)
    return layers.Add(name=f"{name}.add")([x, shortcut])


def _separable_conv(x, filters, *, dilation, padded, name):
    """Depthwise and pointwise convolution: (B, H, W, C) → (B, H, W, filters).

    Two pixels fewer in height and width for every pixel that `padded` is below the dilation.
    """
    x = blocks.depthwise_conv2d(x, dilation=dilation, name=f"{name}.conv1")
    if padded < dilation:
        # cut off instead of padded less: then the convolution stays "same", as exporters like it
        x = layers.Cropping2D(dilation - padded, name=f"{name}.conv1.crop")(x)
    return blocks.conv2d(x, filters, kernel=1, name=f"{name}.pointwise")
