"""MobileNetV2 as PyTorch's libraries have it. Sandler, Howard, Zhu, Zhmoginov, Chen: MobileNetV2:
Inverted Residuals and Linear Bottlenecks, CVPR 2018, arXiv:1801.04381.

Keras Applications' own pads strided convolutions below and to the right only and has batch norm
with epsilon 1e-3; weights that were trained in PyTorch need symmetric padding and 1e-5. Layer names
are those of timm (`blocks.1.0.conv_pwl`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from keras import layers

from keras_seg import blocks
from keras_seg.blocks import BATCH_NORM_EPSILON

STAGES = (
    # (expansion, channels, blocks, stride)
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280


def mobilenetv2_maps(
    x,
    *,
    alpha: float = 1.0,
    output_stride: int = 32,
    first_block: str = "previous",
    dilations: Sequence[tuple[int, int]] | None = None,
    pad_first: bool = False,
    stem_padding: str = "same",
    with_head: bool = True,
    epsilon: float = BATCH_NORM_EPSILON,
    prefix: str = "",
) -> dict:
    """MobileNetV2 on a tensor.

    Shapes: (B, H, W, C) → {"stride_2": (B, H/2, W/2, 16 * alpha), "stride_4": 24, "stride_8": 32,
    "stride_16": 96, "stride_32": 1280}: the last bottleneck of each stride, and after the last one
    the 1x1 convolution that widens it. With `output_stride` 8 or 16 the deeper maps keep that
    stride under these names.

    Args:
        alpha: factor on all channels; the head's are never fewer than 1280.
        first_block: dilation of the first block of a stage that lost its stride, "previous" or
            "own", see `keras_seg.backbones.resnet.stage_dilations`.
        dilations: (first block, other blocks) of each of the seven stages; None for what
            `output_stride` and `first_block` make of it.
        pad_first: pad the input of a block instead of that of its depthwise convolution, so that
            what surrounds the image passes the widening convolution and its norm too (DeepLabV3+
            of jfzhang95 and VainF).
        stem_padding: "valid" for a first convolution without padding (VainF).
        with_head: False ends with the last bottleneck (320 channels), as some networks do.
        prefix: put before every layer name.

    Raises: ValueError for another stride or rule.
    """
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride must be 8, 16 or 32. Received: {output_stride}")
    if first_block not in ("previous", "own"):
        raise ValueError(f"first_block must be 'previous' or 'own'. Received: {first_block!r}")
    x = _conv_bn(
        x,
        round_channels(STEM_CHANNELS * alpha),
        kernel=3,
        stride=2,
        padding=stem_padding,
        epsilon=epsilon,
        name=f"{prefix}conv_stem",
        norm_name=f"{prefix}bn1",
    )
    maps, reached = {}, 2
    for stage, (expansion, channels, count, stage_stride) in enumerate(STAGES):
        for i in range(count):
            stride = stage_stride if i == 0 else 1
            after = reached * stride
            if dilations is None:
                sampled = reached if first_block == "previous" else after
                dilation = max(1, sampled // output_stride)
            else:
                dilation = dilations[stage][min(i, 1)]
            x = _inverted_residual(
                x,
                round_channels(channels * alpha),
                expansion=expansion,
                stride=stride if after <= output_stride else 1,
                dilation=dilation,
                pad_first=pad_first,
                epsilon=epsilon,
                name=f"{prefix}blocks.{stage}.{i}",
            )
            reached = after
        maps[f"stride_{reached}"] = x
    if with_head:
        head = max(HEAD_CHANNELS, round_channels(HEAD_CHANNELS * alpha))
        maps["stride_32"] = _conv_bn(
            x, head, epsilon=epsilon, name=f"{prefix}conv_head", norm_name=f"{prefix}bn2"
        )
    return maps


def round_channels(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of the divisor, and the next if that took away more than a tenth."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def _inverted_residual(x, filters, *, expansion, stride, dilation, pad_first, epsilon, name):
    """1x1 that widens, depthwise 3x3, 1x1 without activation that narrows; sum where it fits."""
    shortcut, wide = x, x.shape[-1] * expansion
    if pad_first:
        x = layers.ZeroPadding2D(dilation, name=f"{name}.pad")(x)
    # Without expansion the first convolution is left out, which moves all names by one.
    names = ["conv_pw", "conv_dw", "conv_pwl"] if expansion > 1 else ["conv_dw", "conv_pw"]
    norms = iter(f"{name}.bn{i}" for i in range(1, 4))
    if expansion > 1:
        x = _conv_bn(x, wide, epsilon=epsilon, name=f"{name}.conv_pw", norm_name=next(norms))
    norm_name = next(norms)
    x = blocks.depthwise_conv2d(
        x,
        stride=stride,
        dilation=dilation,
        padding="valid" if pad_first else "same",
        name=f"{name}.conv_dw",
    )
    x = blocks.batch_norm(x, name=norm_name, epsilon=epsilon)
    x = layers.Activation("relu6", name=f"{norm_name}.act")(x)
    x = _conv_bn(
        x,
        filters,
        activation=None,
        epsilon=epsilon,
        name=f"{name}.{names[-1]}",
        norm_name=next(norms),
    )
    if stride == 1 and shortcut.shape[-1] == filters:
        x = layers.Add(name=f"{name}.add")([x, shortcut])
    return x


def _conv_bn(
    x,
    filters,
    *,
    kernel=1,
    stride=1,
    padding="same",
    activation="relu6",
    epsilon,
    name,
    norm_name,
):
    return blocks.conv_bn_act(
        x,
        filters,
        kernel=kernel,
        stride=stride,
        padding=padding,
        activation=activation,
        epsilon=epsilon,
        name=name,
        norm_name=norm_name,
    )


def names_from_torchvision() -> list[tuple[str, str]]:
    """(pattern, replacement) pairs that turn torchvision's tensor names into the ones here.

    torchvision counts all bottlenecks in one list, and has the convolution and the norm of a
    `conv` list by their place.
    """
    last = sum(count for _, _, count, _ in STAGES) + 1
    pairs = [
        (r"^features\.0\.0\.", "conv_stem."),
        (r"^features\.0\.1\.", "bn1."),
        (rf"^features\.{last}\.0\.", "conv_head."),
        (rf"^features\.{last}\.1\.", "bn2."),
    ]
    place = 0
    for stage, (expansion, _, count, _) in enumerate(STAGES):
        names = {"0.0": "conv_dw", "0.1": "bn1", "1": "conv_pw", "2": "bn2"}
        if expansion > 1:
            names = {"0.0": "conv_pw", "0.1": "bn1", "1.0": "conv_dw", "1.1": "bn2"}
            names |= {"2": "conv_pwl", "3": "bn3"}
        for i in range(count):
            place += 1
            for theirs, ours in names.items():
                pattern = "^" + re.escape(f"features.{place}.conv.{theirs}.") + r"(?=[a-z])"
                pairs.append((pattern, f"blocks.{stage}.{i}.{ours}."))
    return pairs
