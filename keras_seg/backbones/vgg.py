"""VGG. Simonyan, Zisserman: Very Deep Convolutional Networks for Large-Scale Image Recognition,
ICLR 2015, arXiv:1409.1556; plain as published, or with batch norm as in torchvision and timm.

Layer names are those of torchvision and timm: the position in one long list (`features.40`).
"""

from __future__ import annotations

from keras import KerasTensor, layers

from keras_seg import blocks
from keras_seg.blocks import BATCH_NORM_EPSILON

CONVOLUTIONS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Depth in the network's name → 3x3 convolutions of the five stages."""


def vgg_maps(
    x: KerasTensor,
    depth: int,
    *,
    with_batch_norm: bool = True,
    output_stride: int = 32,
    width: int = 64,
    epsilon: float = BATCH_NORM_EPSILON,
    prefix: str = "",
) -> dict[str, KerasTensor]:
    """VGG of a depth on a tensor.

    Shapes: (B, H, W, C) → {"stride_2": (B, H/2, W/2, 2 * width), ..., "stride_32": ...}: the last
    map of a stride, before its pooling; "stride_32" is the last pooling. With `output_stride` 8 or
    16 the later poolings keep the size, and the convolutions after them are dilated.

    Args:
        depth: 16 or 19.
        with_batch_norm: a batch norm after each convolution.
        width: channels of the first stage; the next have 2, 4, 8 and 8 times as many.
        prefix: put before every layer name.

    Raises: ValueError for another depth or stride.
    """
    if depth not in CONVOLUTIONS:
        raise ValueError(f"A VGG's depth is one of {[*CONVOLUTIONS]}. Received: {depth}")
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride must be 8, 16 or 32. Received: {output_stride}")
    maps, place = {}, 0
    for stage, count in enumerate(CONVOLUTIONS[depth]):
        filters = width * 2 ** min(stage, 3)
        for _ in range(count):
            dilation = max(1, 2**stage // output_stride)
            name = f"{prefix}features.{place}"
            x = blocks.conv2d(x, filters, dilation=dilation, use_bias=True, name=name)
            if with_batch_norm:
                place += 1
                x = blocks.batch_norm(x, name=f"{prefix}features.{place}", epsilon=epsilon)
            x = layers.ReLU(name=f"{prefix}features.{place + 1}")(x)
            place += 2
        if stage > 0:
            maps[f"stride_{2**stage}"] = x
        strides = 2 if 2 ** (stage + 1) <= output_stride else 1
        padding = "valid" if strides == 2 else "same"
        x = layers.MaxPooling2D(2, strides, padding, name=f"{prefix}features.{place}")(x)
        place += 1
    return maps | {"stride_32": x}
