"""The original Xception as VainF/DeepLabV3Plus-Pytorch dilates it. Chollet: Xception: Deep Learning
with Depthwise Separable Convolutions, CVPR 2017, arXiv:1610.02357.

Its maps are smaller than the image divided by the stride, because the first two convolutions and
the dilated ones at the end have too little padding. Layer names are those of the repository
(`block3.rep.1.pointwise`).
"""

from __future__ import annotations

from keras import KerasTensor, layers

from keras_seg import blocks
from keras_seg.arguments import choice
from keras_seg.backbones.original_xception import BLOCKS, EXIT_FLOW, residual_block, stem


def vainf_xception_maps(x: KerasTensor, *, output_stride: int = 16) -> dict[str, KerasTensor]:
    """Xception on a tensor, with the two maps that DeepLabV3+ takes.

    Shapes: (B, H, W, C) → {"stride_4": 128 channels, "stride_32": 2048}: the first block, and the
    last convolution without the batch norm and the ReLU that follow it in the published network.

    Args:
        output_stride: 8 or 16. A block that loses its stride also loses its pooling, and all its
            convolutions have the dilation that follows.

    Raises: ValueError for another stride.
    """
    choice(output_stride, "output_stride", (8, 16))
    x = stem(x, padding="valid")
    low_level, reached = None, 2
    for i, (widths, strides) in enumerate(BLOCKS, start=1):
        reached *= 2 if strides else 1
        strided = strides and reached <= output_stride
        dilation = max(1, reached // output_stride)
        x = residual_block(
            x,
            widths,
            starts_with_relu=i > 1,
            projected=strides,
            pooled=strided,
            stride=2 if strided else 1,
            dilation=dilation,
            name=f"block{i}",
        )
        low_level = x if low_level is None else low_level
    third, fourth = EXIT_FLOW
    x = _narrowing_conv(x, third, dilation=dilation, name="conv3")
    x = blocks.batch_norm(x, name="bn3")
    x = layers.ReLU(name="bn3.act")(x)
    x = _narrowing_conv(x, fourth, dilation=dilation, name="conv4")
    return {"stride_4": low_level, "stride_32": x}


def _narrowing_conv(x: KerasTensor, filters: int, *, dilation: int, name: str) -> KerasTensor:
    """Depthwise and pointwise convolution; the dilated kernel is padded by one pixel only.

    The missing padding is cropped off afterwards, so that the convolution stays "same", which
    exporters handle best.
    """
    x = blocks.depthwise_conv2d(x, dilation=dilation, name=f"{name}.conv1")
    if dilation > 1:
        x = layers.Cropping2D(dilation - 1, name=f"{name}.conv1.crop")(x)
    return blocks.conv2d(x, filters, kernel=1, name=f"{name}.pointwise")
