"""MobileNetV3. Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le, Adam:
Searching for MobileNetV3, ICCV 2019, arXiv:1905.02244, tables 1 and 2.

Layer names are those of timm (`blocks.2.0.se.conv_reduce`).
"""

from __future__ import annotations

from keras import KerasTensor

from keras_seg.arguments import choice
from keras_seg.backbones.mobile_blocks import (
    BATCH_NORM_EPSILON,
    TENSORFLOW_EPSILON,
    Rules,
    Stage,
    conv_norm_act,
    stage_maps,
)

SWISH = "hard_silu"
STAGES = {
    "large": (
        Stage(16, 1, (1,), activation="relu"),
        Stage(24, 2, (4, 3), activation="relu"),
        Stage(40, 2, (3, 3, 3), kernel=5, squeezed=True, activation="relu"),
        Stage(80, 2, (6, 2.5, 2.3, 2.3), activation=SWISH),
        Stage(112, 1, (6, 6), squeezed=True, activation=SWISH),
        Stage(160, 2, (6, 6, 6), kernel=5, squeezed=True, activation=SWISH),
    ),
    "small": (
        Stage(16, 2, (1,), squeezed=True, activation="relu"),
        Stage(24, 2, (4.5, 3.67), activation="relu"),
        Stage(40, 2, (4, 6, 6), kernel=5, squeezed=True, activation=SWISH),
        Stage(48, 1, (3, 3), kernel=5, squeezed=True, activation=SWISH),
        Stage(96, 2, (6, 6, 6), kernel=5, squeezed=True, activation=SWISH),
    ),
}
STEM_CHANNELS = 16
LAST_EXPANSION = 6
NARROW_ALPHA = 0.75
"""With a smaller alpha the stem keeps its width."""


def mobilenetv3_maps(
    x: KerasTensor,
    size: str,
    *,
    alpha: float = 1.0,
    minimalistic: bool = False,
    tensorflow: bool = False,
    output_stride: int = 32,
    first_block: str = "previous",
    prefix: str = "",
) -> dict[str, KerasTensor]:
    """MobileNetV3 of a size on a tensor.

    Shapes: (B, H, W, C) → {"stride_2": (B, H/2, W/2, 16 * alpha), "stride_4": 24, "stride_8": 40,
    "stride_16": 112 (small: 48), "stride_32": 960 (576)}: the last block of each stride; after the
    last one comes the 1x1 convolution that widens it. With `output_stride` 8 or 16 the deeper maps
    keep that stride under these names.

    Args:
        size: "large" or "small".
        alpha: factor on all channels.
        minimalistic: only operators of all accelerators: 3x3 kernels and ReLU everywhere, and no
            squeeze-and-excitation.
        tensorflow: for weights that were trained in TensorFlow (timm's `tf_` networks and all
            minimalistic ones): strided convolutions have TensorFlow's padding, and batch norms an
            epsilon of 1e-3.
        first_block: see `keras_seg.backbones.resnet.stage_dilations`.
        prefix: put before every layer name.

    Raises: ValueError for another size, stride or rule.
    """
    choice(size, "size", STAGES)
    rules = Rules(
        alpha=alpha,
        padding="keras_same" if tensorflow else "same",
        epsilon=TENSORFLOW_EPSILON if tensorflow else BATCH_NORM_EPSILON,
    )
    stages = STAGES[size]
    if minimalistic:
        stages = [s._replace(kernel=3, squeezed=False, activation="relu") for s in stages]
    swish = stages[-1].activation
    x = conv_norm_act(
        x,
        STEM_CHANNELS if alpha < NARROW_ALPHA else rules.channels(STEM_CHANNELS),
        rules,
        stride=2,
        activation=swish,
        name=f"{prefix}conv_stem",
        norm_name=f"{prefix}bn1",
    )
    stem = {"stride_2": x}
    maps = stage_maps(
        x, stages, rules, output_stride=output_stride, first_block=first_block, prefix=prefix
    )
    last = f"{prefix}blocks.{len(stages)}.0"
    maps["stride_32"] = conv_norm_act(
        maps["stride_32"],
        rules.channels(LAST_EXPANSION * stages[-1].channels),
        rules,
        kernel=1,
        activation=swish,
        name=f"{last}.conv",
        norm_name=f"{last}.bn1",
    )
    return stem | maps
