"""The blocks of MobileNetV2, MobileNetV3 and EfficientNetV2.

Layer names are those of timm (`blocks.1.0.conv_pwl`, `blocks.3.0.se.conv_reduce`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from keras import KerasTensor, layers

from keras_seg import blocks
from keras_seg.arguments import choice
from keras_seg.blocks import BATCH_NORM_EPSILON

TENSORFLOW_EPSILON = 1e-3
"""Epsilon of the batch norms in mobile networks that were trained in TensorFlow."""


class Stage(NamedTuple):
    """A sequence of blocks; only the first one has a stride.

    Attributes:
        channels: output channels of each block.
        stride: stride of the first block.
        expansions: per block, channels of its depthwise convolution / channels of its input.
        kernel: size of the depthwise convolutions.
        squeezed: whether the blocks have squeeze-and-excitation.
        activation: after all convolutions but the last of a block.
        kind: "inverted" residuals, "fused" ones (a full 3x3 convolution widens, and there is no
            depthwise one), or "plain" convolutions.
    """

    channels: int
    stride: int
    expansions: tuple[float, ...]
    kernel: int = 3
    squeezed: bool = False
    activation: str = "relu6"
    kind: str = "inverted"


@dataclass(frozen=True)
class Rules:
    """What all blocks of a network have in common.

    Attributes:
        alpha: factor on all channels.
        most_removed: share of the channels that rounding to a multiple of 8 may remove.
        padding: padding of strided convolutions, see `keras_seg.blocks.conv2d`.
        epsilon: epsilon of the batch norms.
        pad_first: pad the input of a block instead of that of its depthwise convolution.
        squeeze_input: whether the hidden layer of squeeze-and-excitation has a quarter of the
            block's input channels, instead of a quarter of the expanded channels.
        squeeze_activation, gate: the activations of squeeze-and-excitation.
    """

    alpha: float = 1.0
    most_removed: float = 0.1
    padding: str = "same"
    epsilon: float = BATCH_NORM_EPSILON
    pad_first: bool = False
    squeeze_input: bool = False
    squeeze_activation: str = "relu"
    gate: str = "hard_sigmoid"

    def channels(self, channels: float) -> int:
        """Channels of a layer that has `channels` at alpha = 1."""
        return round_channels(channels * self.alpha, self.most_removed)


def round_channels(channels: float, most_removed: float = 0.1, divisor: int = 8) -> int:
    """The nearest multiple of the divisor; the next one if it removes more than `most_removed`."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < (1 - most_removed) * channels else rounded


def stage_maps(
    x: KerasTensor,
    stages: Sequence[Stage],
    rules: Rules,
    *,
    output_stride: int = 32,
    first_block: str = "previous",
    dilations: Sequence[tuple[int, int]] | None = None,
    prefix: str = "",
) -> dict[str, KerasTensor]:
    """Stages on the stem's map (B, H/2, W/2, C) → {"stride_2": ..., ..., "stride_32": ...}.

    Each is the last map of its stride; a stride that no stage ends in is missing. Strides beyond
    `output_stride` become 1, and the kernels after them are dilated.

    Args:
        first_block: dilation of the first block of a stage that lost its stride, "previous" or
            "own", see `keras_seg.backbones.resnet.stage_dilations`.
        dilations: (first block, other blocks) per stage; overrides the dilations that
            `output_stride` and `first_block` give.

    Raises: ValueError for another stride or rule.
    """
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride must be 8, 16 or 32. Received: {output_stride}")
    choice(first_block, "first_block", ("previous", "own"))
    maps, reached = {}, 2
    for i, stage in enumerate(stages):
        for j, expansion in enumerate(stage.expansions):
            stride = stage.stride if j == 0 else 1
            after = reached * stride
            sampled = reached if first_block == "previous" else after
            rate = dilations[i][min(j, 1)] if dilations else max(1, sampled // output_stride)
            x = BLOCKS[stage.kind](
                x,
                rules.channels(stage.channels),
                stage,
                rules,
                expansion=expansion,
                stride=stride if after <= output_stride else 1,
                dilation=rate,
                name=f"{prefix}blocks.{i}.{j}",
            )
            reached = after
        maps[f"stride_{reached}"] = x
    return maps


def conv_norm_act(
    x: KerasTensor,
    filters: int,
    rules: Rules,
    *,
    activation: str | None,
    name: str,
    norm_name: str,
    kernel: int = 3,
    stride: int = 1,
    dilation: int = 1,
    padding: str | None = None,
) -> KerasTensor:
    """`keras_seg.blocks.conv_bn_act` by the rules of a network; `padding` overrides theirs."""
    return blocks.conv_bn_act(
        x,
        filters,
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        padding=padding or rules.padding,
        epsilon=rules.epsilon,
        activation=activation,
        name=name,
        norm_name=norm_name,
    )


def efficientnet_maps(
    x: KerasTensor,
    stages: Sequence[Stage],
    rules: Rules,
    *,
    stem_channels: int,
    head_channels: int | None,
    activation: str,
    output_stride: int,
    first_block: str,
    prefix: str,
) -> dict[str, KerasTensor]:
    """The stem, the stages, and the 1x1 convolution that widens the last map, by timm's names.

    Args:
        head_channels: channels of the widened map; None ends with the last block.
        activation: of every convolution, also in the stages.

    Raises: as `stage_maps`.
    """
    ends = {"rules": rules, "activation": activation}
    names = {"name": f"{prefix}conv_stem", "norm_name": f"{prefix}bn1"}
    x = conv_norm_act(x, stem_channels, stride=2, **ends, **names)
    stages = [stage._replace(activation=activation) for stage in stages]
    maps = stage_maps(
        x, stages, rules, output_stride=output_stride, first_block=first_block, prefix=prefix
    )
    if head_channels is not None:
        names = {"name": f"{prefix}conv_head", "norm_name": f"{prefix}bn2"}
        last = conv_norm_act(maps["stride_32"], head_channels, kernel=1, **ends, **names)
        maps["stride_32"] = last
    return maps


def _inverted_residual(
    x: KerasTensor,
    filters: int,
    stage: Stage,
    rules: Rules,
    *,
    expansion: float,
    stride: int,
    dilation: int,
    name: str,
) -> KerasTensor:
    """1x1 convolution that widens, depthwise convolution, 1x1 that narrows without activation."""
    entered, act = x, stage.activation
    if rules.pad_first:
        x = layers.ZeroPadding2D(dilation * (stage.kernel // 2), name=f"{name}.pad")(x)
    # without expansion there is no first convolution, which shifts the numbers in all names
    last, norms = "conv_pw", iter(f"{name}.bn{i}" for i in (1, 2, 3))
    if expansion != 1:
        last, wide = "conv_pwl", round_channels(entered.shape[-1] * expansion)
        x = conv_norm_act(
            x,
            wide,
            rules,
            kernel=1,
            activation=act,
            name=f"{name}.conv_pw",
            norm_name=next(norms),
        )
    norm_name = next(norms)
    x = blocks.depthwise_conv2d(
        x,
        kernel=stage.kernel,
        stride=stride,
        dilation=dilation,
        padding="valid" if rules.pad_first else rules.padding,
        name=f"{name}.conv_dw",
    )
    x = blocks.batch_norm(x, name=norm_name, epsilon=rules.epsilon)
    x = layers.Activation(act, name=f"{norm_name}.act")(x)
    if stage.squeezed:
        x = _squeeze_excite(x, entered.shape[-1], rules, name=f"{name}.se")
    x = conv_norm_act(
        x,
        filters,
        rules,
        kernel=1,
        activation=None,
        name=f"{name}.{last}",
        norm_name=next(norms),
    )
    return _sum_where_it_fits(x, entered, stride, name=name)


def _fused_residual(
    x: KerasTensor,
    filters: int,
    stage: Stage,
    rules: Rules,
    *,
    expansion: float,
    stride: int,
    dilation: int,
    name: str,
) -> KerasTensor:
    """3x3 convolution that widens, 1x1 that narrows without activation."""
    entered = x
    x = conv_norm_act(
        x,
        round_channels(x.shape[-1] * expansion),
        rules,
        kernel=stage.kernel,
        stride=stride,
        dilation=dilation,
        activation=stage.activation,
        name=f"{name}.conv_exp",
        norm_name=f"{name}.bn1",
    )
    x = conv_norm_act(
        x,
        filters,
        rules,
        kernel=1,
        activation=None,
        name=f"{name}.conv_pwl",
        norm_name=f"{name}.bn2",
    )
    return _sum_where_it_fits(x, entered, stride, name=name)


def _plain_convolution(
    x: KerasTensor,
    filters: int,
    stage: Stage,
    rules: Rules,
    *,
    expansion: float,
    stride: int,
    dilation: int,
    name: str,
) -> KerasTensor:
    """One convolution; the expansion is ignored."""
    entered = x
    x = conv_norm_act(
        x,
        filters,
        rules,
        kernel=stage.kernel,
        stride=stride,
        dilation=dilation,
        activation=stage.activation,
        name=f"{name}.conv",
        norm_name=f"{name}.bn1",
    )
    return _sum_where_it_fits(x, entered, stride, name=name)


BLOCKS = {"inverted": _inverted_residual, "fused": _fused_residual, "plain": _plain_convolution}


def _squeeze_excite(x: KerasTensor, input_channels: int, rules: Rules, *, name: str) -> KerasTensor:
    """Scales each channel by a factor computed from the means of all channels; the shape stays.

    Hu, Shen, Sun: Squeeze-and-Excitation Networks, CVPR 2018, arXiv:1709.01507; with biases.
    """
    channels = x.shape[-1]
    hidden = round(input_channels / 4) if rules.squeeze_input else round_channels(channels / 4)
    w = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}.pool")(x)
    w = blocks.conv2d(w, hidden, kernel=1, use_bias=True, name=f"{name}.conv_reduce")
    w = layers.Activation(rules.squeeze_activation, name=f"{name}.act1")(w)
    w = blocks.conv2d(w, channels, kernel=1, use_bias=True, name=f"{name}.conv_expand")
    w = layers.Activation(rules.gate, name=f"{name}.gate")(w)
    return layers.Multiply(name=f"{name}.scale")([x, w])


def _sum_where_it_fits(
    x: KerasTensor, entered: KerasTensor, stride: int, *, name: str
) -> KerasTensor:
    """The residual sum, where stride and width leave the shape of the block's input."""
    if stride > 1 or entered.shape[-1] != x.shape[-1]:
        return x
    return layers.Add(name=f"{name}.add")([x, entered])
