"""ConvNeXt. Liu, Mao, Wu, Feichtenhofer, Darrell, Xie: A ConvNet for the 2020s, CVPR 2022,
arXiv:2201.03545, figure 4 and appendix A.

Layer names are those of timm (`stages.2.blocks.0.mlp.fc1`).
"""

from __future__ import annotations

from collections.abc import Sequence

from keras import KerasTensor, layers

from keras_seg.arguments import choice
from keras_seg.layers import ChannelNormalization, LayerScale

TINY_DEPTHS, TINY_WIDTHS = (3, 3, 9, 3), (96, 192, 384, 768)
EPSILON = 1e-6
MLP_RATIO = 4


def convnext_maps(
    x: KerasTensor,
    *,
    depths: Sequence[int] = TINY_DEPTHS,
    widths: Sequence[int] = TINY_WIDTHS,
    output_stride: int = 32,
    prefix: str = "",
) -> dict[str, KerasTensor]:
    """ConvNeXt on a tensor, by default the tiny one.

    Shapes: (B, H, W, C) → {"stride_4": (B, H/4, W/4, 96), "stride_8": 192, "stride_16": 384,
    "stride_32": 768}: the four stages, with sizes rounded down. There is no map at stride 2. With
    `output_stride` 8 or 16 the deeper maps keep that stride under these names: the 2x2
    convolutions between stages lose their stride and are padded, the 7x7 ones are dilated.

    Args:
        depths, widths: blocks and channels of the four stages.
        prefix: put before every layer name.

    Raises: ValueError for another stride or number of stages.
    """
    choice(output_stride, "output_stride", (8, 16, 32))
    if len(depths) != 4 or len(widths) != 4:
        raise ValueError(
            "A ConvNeXt has four stages; each needs a depth and a width. Received: "
            f"depths={tuple(depths)}, widths={tuple(widths)}"
        )
    x = layers.Conv2D(widths[0], 4, strides=4, name=f"{prefix}stem.0")(x)
    x = _norm(x, name=f"{prefix}stem.1")
    maps, reached, dilation = {}, 4, 1
    for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
        name = f"{prefix}stages.{stage}"
        if stage > 0:
            strided = 2 * reached <= output_stride
            x = _norm(x, name=f"{name}.downsample.0")
            x = layers.Conv2D(
                width,
                2,
                strides=2 if strided else 1,
                padding="valid" if strided else "same",
                dilation_rate=dilation,
                name=f"{name}.downsample.1",
            )(x)
            dilation *= 1 if strided else 2
            reached *= 2 if strided else 1
        for i in range(depth):
            x = _block(x, dilation=dilation, name=f"{name}.blocks.{i}")
        maps[f"stride_{4 * 2**stage}"] = x
    return maps


def _block(x: KerasTensor, *, dilation: int, name: str) -> KerasTensor:
    """Depthwise 7x7, norm and two pointwise layers beside a shortcut; the shape stays."""
    shortcut, width = x, x.shape[-1]
    x = layers.DepthwiseConv2D(7, padding="same", dilation_rate=dilation, name=f"{name}.conv_dw")(x)
    x = _norm(x, name=f"{name}.norm")
    x = layers.Conv2D(MLP_RATIO * width, 1, name=f"{name}.mlp.fc1")(x)
    x = layers.Activation("gelu", name=f"{name}.mlp.act")(x)
    x = layers.Conv2D(width, 1, name=f"{name}.mlp.fc2")(x)
    x = LayerScale(name=name)(x)
    return layers.Add(name=f"{name}.add")([x, shortcut])


def _norm(x: KerasTensor, *, name: str) -> KerasTensor:
    return ChannelNormalization(epsilon=EPSILON, name=name)(x)
