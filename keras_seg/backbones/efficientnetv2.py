"""EfficientNetV2. Tan, Le: EfficientNetV2: Smaller Models and Faster Training, ICML 2021,
arXiv:2104.00298; the small variants B0 to B3 of the authors' code.

Layer names are those of timm (`blocks.1.0.conv_exp`).
"""

from __future__ import annotations

import math

from keras import KerasTensor

from keras_seg.arguments import choice
from keras_seg.backbones.mobile_blocks import (
    BATCH_NORM_EPSILON,
    TENSORFLOW_EPSILON,
    Rules,
    Stage,
    efficientnet_maps,
)

STAGES = (
    Stage(16, 1, (1,), kind="plain"),
    Stage(32, 2, (4,) * 2, kind="fused"),
    Stage(48, 2, (4,) * 2, kind="fused"),
    Stage(96, 2, (4,) * 3, squeezed=True),
    Stage(112, 1, (6,) * 5, squeezed=True),
    Stage(192, 2, (6,) * 8, squeezed=True),
)
FACTORS = {"b0": (1.0, 1.0), "b1": (1.0, 1.1), "b2": (1.1, 1.2), "b3": (1.2, 1.4)}
"""Variant → (factor on the channels, factor on the numbers of blocks)."""
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280
SWISH = "silu"


def efficientnetv2_maps(
    x: KerasTensor,
    variant: str,
    *,
    tensorflow: bool = True,
    output_stride: int = 32,
    first_block: str = "previous",
    with_head: bool = True,
    prefix: str = "",
) -> dict[str, KerasTensor]:
    """EfficientNetV2 of a variant on a tensor.

    Shapes of B0: (B, H, W, C) → {"stride_2": (B, H/2, W/2, 16), "stride_4": 32, "stride_8": 48,
    "stride_16": 112, "stride_32": 1280}: the last block of each stride; after the last one comes
    the 1x1 convolution that widens it. With `output_stride` 8 or 16 the deeper maps keep that
    stride under these names.

    Args:
        variant: "b0" to "b3".
        tensorflow: for weights that were trained in TensorFlow, as the published ones were:
            strided convolutions have TensorFlow's padding, and batch norms an epsilon of 1e-3.
        first_block: see `keras_seg.backbones.resnet.stage_dilations`.
        with_head: False ends with the last block (192 channels), as some networks do.
        prefix: put before every layer name.

    Raises: ValueError for another variant, stride or rule.
    """
    choice(variant, "variant", FACTORS)
    rules = Rules(
        alpha=FACTORS[variant][0],
        most_removed=1.0,
        padding="keras_same" if tensorflow else "same",
        epsilon=TENSORFLOW_EPSILON if tensorflow else BATCH_NORM_EPSILON,
        squeeze_input=True,
        squeeze_activation=SWISH,
        gate="sigmoid",
    )
    stages = [
        stage._replace(expansions=stage.expansions[:1] * count)
        for stage, count in zip(STAGES, block_counts(variant), strict=True)
    ]
    return efficientnet_maps(
        x,
        stages,
        rules,
        stem_channels=rules.channels(STEM_CHANNELS),
        head_channels=rules.channels(HEAD_CHANNELS) if with_head else None,
        activation=SWISH,
        output_stride=output_stride,
        first_block=first_block,
        prefix=prefix,
    )


def block_counts(variant: str) -> tuple[int, ...]:
    """Number of blocks of the six stages of a variant."""
    return tuple(math.ceil(len(stage.expansions) * FACTORS[variant][1]) for stage in STAGES)
