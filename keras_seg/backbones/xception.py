"""Modified aligned Xception. Chen, Zhu, Papandreou, Schroff, Adam: Encoder-Decoder with Atrous
Separable Convolution for Semantic Image Segmentation, ECCV 2018, arXiv:1802.02611, figure 4; after
Chollet: Xception, CVPR 2017, arXiv:1610.02357.

Layer names are those of timm (`blocks.3.stack.conv1.conv_dw`).
"""

from __future__ import annotations

from keras import KerasTensor, layers

from keras_seg import blocks

EPSILON = 1e-3
"""Epsilon of all batch norms, with which the published weights were trained."""

ENTRY_FLOWS = {
    # depth: (channels, stride) of the blocks before the middle flow
    41: ((128, 2), (256, 2), (728, 2)),
    65: ((128, 2), (256, 2), (728, 2)),
    71: ((128, 2), (256, 1), (256, 2), (728, 1), (728, 2)),
}
MIDDLE_BLOCKS = {41: 8, 65: 16, 71: 16}
EXIT_FLOW = ((728, 1024, 1024), (1536, 1536, 2048))


def xception_maps(
    x: KerasTensor,
    depth: int,
    *,
    output_stride: int = 32,
    epsilon: float = EPSILON,
    jfzhang95: bool = False,
    prefix: str = "",
) -> dict[str, KerasTensor]:
    """Aligned Xception of a depth on a tensor.

    Shapes: (B, H, W, C) → {"stride_2": (B, H/2, W/2, 128), "stride_4": (B, H/4, W/4, 256),
    "stride_8": (..., 728), "stride_16": (..., 1024), "stride_32": (..., 2048)}; with
    `output_stride` 8 or 16 the deeper maps keep that stride under these names. A map is the last
    one of its stride: the input of the third convolution of the block that strides, before the
    ReLU. At stride 4 it is DeepLabV3+'s low-level feature.

    Args:
        depth: 41, 65 or 71.
        jfzhang95: the differences of that code: ReLUs work in place, so that shortcuts get their
            input after the ReLU too; no ReLU after the depthwise convolutions at the end, but one
            before them; the last convolution that loses its stride is not dilated; and the map at
            stride 4 is the second block's input after the ReLU (128 channels).
        prefix: put before every layer name.

    Raises: ValueError for another depth or stride.
    """
    if depth not in ENTRY_FLOWS:
        raise ValueError(f"An aligned Xception's depth is 41, 65 or 71. Received: {depth}")
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride must be 8, 16 or 32. Received: {output_stride}")
    for i, (filters, stride) in enumerate(((32, 2), (64, 1))):
        x = blocks.conv_bn_act(
            x,
            filters,
            stride=stride,
            name=f"{prefix}stem.{i}.conv",
            norm_name=f"{prefix}stem.{i}.bn",
            epsilon=epsilon,
        )
    plan = [((filters,) * 3, stride) for filters, stride in ENTRY_FLOWS[depth]]
    plan += [((728,) * 3, 1)] * MIDDLE_BLOCKS[depth] + [(EXIT_FLOW[0], 2)]
    maps, reached = {}, 2
    for i, (filters, stride) in enumerate(plan):
        x, entered, before_stride = _residual_block(
            x,
            filters,
            stride=stride if reached * stride <= output_stride else 1,
            dilation=max(1, reached // output_stride),
            # also where the stride was removed: the published weights have a projection
            projected=stride > 1 or x.shape[-1] != filters[-1],
            relu_first=jfzhang95,
            dilate_last=not jfzhang95 or stride == 1,
            epsilon=epsilon,
            name=f"{prefix}blocks.{i}",
        )
        if stride == 2:
            maps[f"stride_{reached}"] = entered if jfzhang95 else before_stride
        reached *= stride

    if jfzhang95:
        x = layers.ReLU(name=f"{prefix}blocks.{len(plan)}.act")(x)
    for i, filters in enumerate(EXIT_FLOW[1], start=1):
        x = _separable_conv(
            x,
            filters,
            dilation=max(1, reached // output_stride),
            activation="relu",
            depthwise_activation=None if jfzhang95 else "relu",
            epsilon=epsilon,
            name=f"{prefix}blocks.{len(plan)}.stack.conv{i}",
        )
    return maps | {"stride_32": x}


def _residual_block(
    x: KerasTensor,
    filters: tuple[int, ...],
    *,
    stride: int,
    dilation: int,
    projected: bool,
    relu_first: bool,
    dilate_last: bool,
    epsilon: float,
    name: str,
) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
    """ReLU and separable convolution three times, beside a shortcut.

    Returns: (sum, input of the shortcut, input of the third convolution).
    """
    if relu_first:
        x = layers.ReLU(name=f"{name}.stack.act1")(x)
    shortcut = entered = x
    if projected:
        shortcut = blocks.conv_bn_act(
            x,
            filters[-1],
            kernel=1,
            stride=stride,
            name=f"{name}.shortcut.conv",
            norm_name=f"{name}.shortcut.bn",
            activation=None,
            epsilon=epsilon,
        )
    for i, width in enumerate(filters, start=1):
        before_last = x
        if i > 1 or not relu_first:
            x = layers.ReLU(name=f"{name}.stack.act{i}")(x)
        x = _separable_conv(
            x,
            width,
            stride=stride if i == len(filters) else 1,
            dilation=dilation if i < len(filters) or dilate_last else 1,
            epsilon=epsilon,
            name=f"{name}.stack.conv{i}",
        )
    return layers.Add(name=f"{name}.add")([x, shortcut]), entered, before_last


def _separable_conv(
    x: KerasTensor,
    filters: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    depthwise_activation: str | None = None,
    activation: str | None = None,
    epsilon: float,
    name: str,
) -> KerasTensor:
    """Depthwise and pointwise convolution, each with batch norm and an optional activation."""
    x = blocks.depthwise_conv2d(x, stride=stride, dilation=dilation, name=f"{name}.conv_dw")
    x = blocks.batch_norm(x, name=f"{name}.bn_dw", epsilon=epsilon)
    if depthwise_activation:
        x = layers.Activation(depthwise_activation, name=f"{name}.act_dw")(x)
    return blocks.conv_bn_act(
        x,
        filters,
        kernel=1,
        name=f"{name}.conv_pw",
        norm_name=f"{name}.bn_pw",
        activation=activation,
        epsilon=epsilon,
    )
