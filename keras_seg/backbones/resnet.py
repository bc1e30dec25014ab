"""ResNet. He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016,
arXiv:1512.03385; version 1.5, which strides in the 3x3 convolution of a bottleneck.

Layer names are those of torchvision and timm (`layer1.0.conv1`, `layer1.0.downsample.0`).
"""

from __future__ import annotations

from collections.abc import Sequence

from keras import KerasTensor, layers

from keras_seg import blocks
from keras_seg.blocks import BATCH_NORM_EPSILON, conv_bn_act

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""Depth in the network's name → residual units of the four stages."""
BOTTLENECK_FROM = 50
EXPANSION = 4
FIRST_BLOCKS = ("previous", "own")

DEEP_STEMS = {
    # name: (convolution, norm, width / that of the network) of each of its three layers
    "timm": (("conv1.0", "conv1.1", 1 / 2), ("conv1.3", "conv1.4", 1 / 2), ("conv1.6", "bn1", 1)),
    "danet": (("conv1.0", "conv1.1", 1), ("conv1.3", "conv1.4", 1), ("conv1.6", "bn1", 2)),
    "openseg": (
        ("resinit.conv1", "resinit.bn1", 1),
        ("resinit.conv2", "resinit.bn2", 1),
        ("resinit.conv3", "resinit.bn3", 2),
    ),
}
"""Three 3x3 convolutions instead of the 7x7: those of timm's resnet50c, DANet and openseg."""


def resnet_maps(
    x: KerasTensor,
    depth: int,
    *,
    output_stride: int = 32,
    dilations: Sequence[Sequence[int]] | None = None,
    first_block: str = "previous",
    multi_grid: Sequence[int] | None = None,
    deep_stem: str | None = None,
    ceil_pool: bool = False,
    width: int = 64,
    epsilon: float = BATCH_NORM_EPSILON,
    prefix: str = "",
) -> dict[str, KerasTensor]:
    """ResNet of a depth on a tensor.

    Shapes: (B, H, W, C) → {"stride_2": (B, H/2, W/2, width), "stride_4": ..., "stride_32": ...};
    with `output_stride` 8 or 16 the deeper maps keep that stride under these names. `stride_4` to
    `stride_32` are the stages `layer1` to `layer4`, `stride_2` is the stem before its pooling.

    Args:
        depth: 18, 34, 50, 101 or 152.
        dilations: dilation of every block of the four stages; None for those that
            `stage_dilations` derives from `output_stride`, `first_block` and `multi_grid`.
        first_block, multi_grid: see `stage_dilations`.
        deep_stem: one of `DEEP_STEMS`, or None for the 7x7 convolution.
        ceil_pool: whether the pooling rounds sizes up, as in openseg.
        width: channels of the stem and of the first stage's 3x3 convolutions.
        prefix: put before every layer name.

    Raises: ValueError for another depth, stride, stem or number of dilations.
    """
    if depth not in BLOCKS:
        raise ValueError(f"A ResNet's depth is one of {[*BLOCKS]}. Received: {depth}")
    if dilations is None:
        dilations = stage_dilations(
            depth, output_stride, first_block=first_block, multi_grid=multi_grid
        )
    if tuple(map(len, dilations)) != BLOCKS[depth]:
        raise ValueError(
            f"ResNet-{depth} has {BLOCKS[depth]} blocks in its stages, each needs a dilation. "
            f"Received: dilations={dilations}"
        )
    x = stem(x, deep_stem, width=width, epsilon=epsilon, prefix=prefix)
    maps = {"stride_2": x}
    # zero padding equals minus infinity here, since a ReLU comes before
    x = layers.ZeroPadding2D(((1, 1 + ceil_pool),) * 2, name=f"{prefix}maxpool.pad")(x)
    x = layers.MaxPooling2D(3, 2, name=f"{prefix}maxpool")(x)

    block = bottleneck if depth >= BOTTLENECK_FROM else basic_block
    for stage, stage_rates in enumerate(dilations, start=1):
        nominal = 2 ** (stage + 1)
        for i, rate in enumerate(stage_rates):
            x = block(
                x,
                width * 2 ** (stage - 1),
                stride=2 if i == 0 and 4 < nominal <= output_stride else 1,
                # in the first basic block the rate changes between its two convolutions
                dilations=(rate, stage_rates[max(i, 1)]),
                epsilon=epsilon,
                name=f"{prefix}layer{stage}.{i}",
            )
        maps[f"stride_{nominal}"] = x
    return maps


def stage_dilations(
    depth: int,
    output_stride: int = 32,
    *,
    first_block: str = "previous",
    multi_grid: Sequence[int] | None = None,
) -> list[tuple[int, ...]]:
    """Dilation of every block of the four stages, which replace strides beyond `output_stride`.

    Args:
        depth: 18, 34, 50, 101 or 152.
        output_stride: 8, 16 or 32.
        first_block: dilation of the first block of a stage that lost its stride. "previous": that
            of the stage before, so that kernels sample the same pixels as in the strided network
            (torchvision, timm, DANet, openseg, VainF). "own": that of the other blocks (jfzhang95,
            segmentation_models.pytorch).
        multi_grid: factors on the dilation of the blocks of `layer4`, which all have the stage's
            own dilation then (DeepLabV3).

    Raises: ValueError for another stride or rule, or another number of factors.
    """
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride must be 8, 16 or 32. Received: {output_stride}")
    if first_block not in FIRST_BLOCKS:
        raise ValueError(f"first_block must be one of {FIRST_BLOCKS}. Received: {first_block!r}")
    rates, previous = [], 1
    for stage, count in enumerate(BLOCKS[depth], start=1):
        own = max(1, 2 ** (stage + 1) // output_stride)
        first = previous if first_block == "previous" else own
        rates.append((first, *[own] * (count - 1)))
        previous = own
    if multi_grid is not None:
        if len(multi_grid) != len(rates[-1]):
            raise ValueError(
                f"multi_grid needs one factor for each of the {len(rates[-1])} blocks of layer4 of "
                f"ResNet-{depth}. Received: {multi_grid}"
            )
        rates[-1] = tuple(previous * factor for factor in multi_grid)
    return rates


def stem(
    x: KerasTensor, deep_stem: str | None, *, width: int, epsilon: float, prefix: str
) -> KerasTensor:
    """(B, H, W, C) → (B, H/2, W/2, width); twice the width with some deep stems."""
    if deep_stem is None:
        return conv_bn_act(
            x,
            width,
            kernel=7,
            stride=2,
            name=f"{prefix}conv1",
            norm_name=f"{prefix}bn1",
            epsilon=epsilon,
        )
    if deep_stem not in DEEP_STEMS:
        raise ValueError(
            f"deep_stem must be None or one of {[*DEEP_STEMS]}. Received: {deep_stem!r}"
        )
    for i, (convolution, norm, share) in enumerate(DEEP_STEMS[deep_stem]):
        x = conv_bn_act(
            x,
            int(width * share),
            stride=2 if i == 0 else 1,
            name=f"{prefix}{convolution}",
            norm_name=f"{prefix}{norm}",
            epsilon=epsilon,
        )
    return x


def basic_block(
    x: KerasTensor,
    width: int,
    *,
    stride: int = 1,
    dilations: tuple[int, int] = (1, 1),
    epsilon: float = BATCH_NORM_EPSILON,
    name: str,
) -> KerasTensor:
    """Two 3x3 convolutions beside a shortcut: (B, H, W, C) → (B, H/stride, W/stride, width)."""
    shortcut = _shortcut(x, width, stride=stride, epsilon=epsilon, name=name)
    x = conv_bn_act(
        x,
        width,
        stride=stride,
        dilation=dilations[0],
        name=f"{name}.conv1",
        norm_name=f"{name}.bn1",
        epsilon=epsilon,
    )
    x = conv_bn_act(
        x,
        width,
        dilation=dilations[1],
        name=f"{name}.conv2",
        norm_name=f"{name}.bn2",
        activation=None,
        epsilon=epsilon,
    )
    return _residual_sum(x, shortcut, name=name)


def bottleneck(
    x: KerasTensor,
    width: int,
    *,
    stride: int = 1,
    dilations: tuple[int, int] = (1, 1),
    epsilon: float = BATCH_NORM_EPSILON,
    name: str,
) -> KerasTensor:
    """1x1, 3x3, 1x1 beside a shortcut: (B, H, W, C) → (B, H/stride, W/stride, 4 * width)."""
    shortcut = _shortcut(x, EXPANSION * width, stride=stride, epsilon=epsilon, name=name)
    x = conv_bn_act(
        x, width, kernel=1, name=f"{name}.conv1", norm_name=f"{name}.bn1", epsilon=epsilon
    )
    x = conv_bn_act(
        x,
        width,
        stride=stride,
        dilation=dilations[0],
        name=f"{name}.conv2",
        norm_name=f"{name}.bn2",
        epsilon=epsilon,
    )
    x = conv_bn_act(
        x,
        EXPANSION * width,
        kernel=1,
        name=f"{name}.conv3",
        norm_name=f"{name}.bn3",
        activation=None,
        epsilon=epsilon,
    )
    return _residual_sum(x, shortcut, name=name)


def _shortcut(
    x: KerasTensor, filters: int, *, stride: int, epsilon: float, name: str
) -> KerasTensor:
    """The block's input, projected where its size or width changes."""
    if stride == 1 and x.shape[-1] == filters:
        return x
    x = blocks.conv2d(x, filters, kernel=1, stride=stride, name=f"{name}.downsample.0")
    return blocks.batch_norm(x, name=f"{name}.downsample.1", epsilon=epsilon)


def _residual_sum(x: KerasTensor, shortcut: KerasTensor, *, name: str) -> KerasTensor:
    x = layers.Add(name=f"{name}.add")([x, shortcut])
    return layers.ReLU(name=f"{name}.act")(x)
