"""MobileNetV2 as in PyTorch's libraries. Sandler, Howard, Zhu, Zhmoginov, Chen: MobileNetV2:
Inverted Residuals and Linear Bottlenecks, CVPR 2018, arXiv:1801.04381.

That of Keras Applications pads strided convolutions below and to the right only, and has batch norm
with epsilon 1e-3. Weights that were trained in PyTorch need symmetric padding and 1e-5. Layer names
are those of timm (`blocks.1.0.conv_pwl`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from keras import KerasTensor

from keras_seg.backbones.mobile_blocks import Rules, Stage, conv_norm_act, stage_maps
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
RELU6 = "relu6"


def mobilenetv2_maps(
    x: KerasTensor,
    *,
    alpha: float = 1.0,
    counts: Sequence[int] | None = None,
    scaled_ends: bool = True,
    output_stride: int = 32,
    first_block: str = "previous",
    dilations: Sequence[tuple[int, int]] | None = None,
    pad_first: bool = False,
    stem_padding: str = "same",
    with_head: bool = True,
    epsilon: float = BATCH_NORM_EPSILON,
    prefix: str = "",
) -> dict[str, KerasTensor]:
    """MobileNetV2 on a tensor.

    Shapes: (B, H, W, C) → {"stride_2": (B, H/2, W/2, 16 * alpha), "stride_4": 24, "stride_8": 32,
    "stride_16": 96, "stride_32": 1280}: the last bottleneck of each stride; after the last one
    comes the 1x1 convolution that widens it. With `output_stride` 8 or 16 the deeper maps keep that
    stride under these names.

    Args:
        alpha: factor on all channels; the head has at least 1280.
        counts: bottlenecks of the seven stages; None for those of the paper (timm's deeper 110d
            and 120d have others).
        scaled_ends: whether alpha applies to the first convolution and to the head (not in 110d
            and 120d).
        first_block: dilation of the first block of a stage that lost its stride, "previous" or
            "own", see `keras_seg.backbones.resnet.stage_dilations`.
        dilations: (first block, other blocks) of each of the seven stages; None for those that
            `output_stride` and `first_block` give.
        pad_first: pad the input of a block instead of that of its depthwise convolution, so that
            the padding passes the widening convolution and its norm too (DeepLabV3+ of jfzhang95
            and VainF).
        stem_padding: "valid" for a first convolution without padding (VainF).
        with_head: False ends with the last bottleneck (320 channels), as some networks do.
        prefix: put before every layer name.

    Raises: ValueError for another stride or rule, or not seven counts.
    """
    counts = counts or [count for _, _, count, _ in STAGES]
    if len(counts) != len(STAGES):
        raise ValueError(
            f"counts must have {len(STAGES)} entries, one per stage. Received: {counts}"
        )
    rules = Rules(alpha=alpha, epsilon=epsilon, pad_first=pad_first)
    x = conv_norm_act(
        x,
        rules.channels(STEM_CHANNELS) if scaled_ends else STEM_CHANNELS,
        rules,
        stride=2,
        padding=stem_padding,
        activation=RELU6,
        name=f"{prefix}conv_stem",
        norm_name=f"{prefix}bn1",
    )
    maps = stage_maps(
        x,
        [
            Stage(channels, stride, (expansion,) * count, activation=RELU6)
            for (expansion, channels, _, stride), count in zip(STAGES, counts, strict=True)
        ],
        rules,
        output_stride=output_stride,
        first_block=first_block,
        dilations=dilations,
        prefix=prefix,
    )
    if with_head:
        widened = rules.channels(HEAD_CHANNELS) if scaled_ends else HEAD_CHANNELS
        maps["stride_32"] = conv_norm_act(
            maps["stride_32"],
            max(HEAD_CHANNELS, widened),
            rules,
            kernel=1,
            activation=RELU6,
            name=f"{prefix}conv_head",
            norm_name=f"{prefix}bn2",
        )
    return maps


def names_from_torchvision() -> list[tuple[str, str]]:
    """(pattern, replacement) pairs that turn torchvision's tensor names into the ones here.

    torchvision numbers all bottlenecks in one list, and names convolutions and norms by their
    position in a list `conv`.
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
