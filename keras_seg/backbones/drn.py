"""Dilated residual networks. Yu, Koltun, Funkhouser: Dilated Residual Networks, CVPR 2017,
arXiv:1705.09914; version D, without pooling and with plain convolutions at both ends.

Layer names are those of the authors' code (`layer3.0.conv1`).
"""

from __future__ import annotations

from keras import KerasTensor

from keras_seg import blocks
from keras_seg.arguments import choice
from keras_seg.backbones.resnet import basic_block, bottleneck

DEPTHS = {22: (2, 2, 2, 2), 38: (3, 4, 6, 3), 54: (3, 4, 6, 3), 105: (3, 4, 23, 3)}
"""Depth in the network's name → residual units of the levels 3 to 6."""
BOTTLENECK_FROM = 54
RESIDUAL_LEVELS = ((64, 2, 1), (128, 2, 1), (256, 1, 2), (512, 1, 4))
"""(channels of the 3x3 convolutions, stride, dilation) of the levels 3 to 6."""


def drn_maps(x: KerasTensor, depth: int = 54, *, prefix: str = "") -> dict[str, KerasTensor]:
    """DRN-D of a depth on a tensor. Its last maps keep stride 8.

    Shapes: (B, H, W, C) → {"stride_2": (B, H/2, W/2, 32), "stride_4": (B, H/4, W/4, 256),
    "stride_8": (B, H/8, W/8, 512), "stride_32": (B, H/8, W/8, 512)}: the levels 2, 3 and 4, and
    level 8 under the name of every encoder's deepest map. The depths 22 and 38 have a quarter of
    the channels at the strides 4 and 8.

    Args:
        depth: 22, 38, 54 or 105.
        prefix: put before every layer name.

    Raises: ValueError for another depth.
    """
    choice(depth, "depth", DEPTHS)
    for level, (width, kernel, stride) in enumerate(((16, 7, 1), (16, 3, 1), (32, 3, 2))):
        x = _conv(x, width, kernel=kernel, stride=stride, name=f"{prefix}layer{level}")
    maps = {"stride_2": x}
    block = bottleneck if depth >= BOTTLENECK_FROM else basic_block
    levels = zip(RESIDUAL_LEVELS, DEPTHS[depth], strict=True)
    for level, ((width, stride, dilation), count) in enumerate(levels, start=3):
        for i in range(count):
            x = block(
                x,
                width,
                stride=stride if i == 0 else 1,
                dilations=(dilation, dilation),
                name=f"{prefix}layer{level}.{i}",
            )
        if stride == 2:
            maps[f"stride_{2 ** (level - 1)}"] = x
    for level, dilation in ((7, 2), (8, 1)):
        x = _conv(x, 512, dilation=dilation, name=f"{prefix}layer{level}")
    return maps | {"stride_32": x}


def _conv(
    x: KerasTensor,
    width: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    name: str,
) -> KerasTensor:
    return blocks.conv_bn_act(
        x,
        width,
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        name=f"{name}.0",
        norm_name=f"{name}.1",
    )
