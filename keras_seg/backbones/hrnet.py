"""HRNet. Wang, Sun, Cheng, Jiang, Deng, Zhao, Liu, Mu, Tan, Wang, Liu, Xiao: Deep High-Resolution
Representation Learning for Visual Recognition, TPAMI 2020, arXiv:1908.07919.

Layer names are those of the authors' code and of timm (`stage2.0.fuse_layers.1.0.0.0`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from keras import KerasTensor, layers

from keras_seg.backbones.resnet import basic_block, bottleneck
from keras_seg.blocks import conv_bn_act
from keras_seg.layers import Resize
from keras_seg.names import unknown_name

CLASSIFIER_WIDTH = 32
RESIZES = ("half_pixel", "align_corners", "nearest")


@dataclass(frozen=True)
class HRNetVariant:
    """Sizes of one HRNet.

    Attributes:
        width: channels of the branch at stride 4; the next branches have 2, 4 and 8 times as many.
        modules: exchange modules of the stages 2, 3 and 4.
        blocks: residual units of a branch within a module.
        stem_blocks, stem_width: bottlenecks of stage 1, and channels of their 3x3 convolutions.
    """

    width: int
    modules: tuple[int, int, int] = (1, 4, 3)
    blocks: int = 4
    stem_blocks: int = 4
    stem_width: int = 64


VARIANTS = {
    "w18_small_v1": HRNetVariant(16, (1, 1, 1), blocks=2, stem_blocks=1, stem_width=32),
    "w18_small_v2": HRNetVariant(18, (1, 3, 2), blocks=2, stem_blocks=2),
    **{f"w{width}": HRNetVariant(width) for width in (18, 30, 32, 40, 44, 48, 64)},
}
"""The published networks. W18-small-v1 has a width of 16."""


def hrnet_branches(
    x: KerasTensor,
    variant: str | HRNetVariant,
    *,
    resize: str = "half_pixel",
    prefix: str = "",
) -> list[KerasTensor]:
    """The four branches of an HRNet on a tensor, at strides 4, 8, 16 and 32.

    Shapes: (B, H, W, C) → [(B, H/4, W/4, width), ..., (B, H/32, W/32, 8 * width)], for any H and W.

    Args:
        variant: one of `VARIANTS`, or sizes of your own.
        resize: how a module up-samples its low branches: bilinear with the grid "half_pixel" or
            "align_corners", or "nearest" (the ImageNet networks).
        prefix: put before every layer name.

    Raises: ValueError for another variant or resize.
    """
    maps = hrnet_maps(x, variant, resize=resize, prefix=prefix)
    return [maps[f"stride_{stride}"] for stride in (4, 8, 16, 32)]


def hrnet_maps(
    x: KerasTensor,
    variant: str | HRNetVariant,
    *,
    resize: str = "half_pixel",
    first_relu: bool = True,
    widened: bool = False,
    prefix: str = "",
) -> dict[str, KerasTensor]:
    """As `hrnet_branches`, but a dict by stride, with the first convolution as "stride_2".

    Args:
        first_relu: False omits the ReLU between the first two convolutions (DeepLabV3+ of VainF).
        widened: whether each branch ends in a bottleneck of 128, 256, 512 and 1024 channels, as
            the classifier begins and timm's `features_only` ends.
    """
    if resize not in RESIZES:
        raise ValueError(f"resize must be one of {RESIZES}. Received: {resize!r}")
    if isinstance(variant, str):
        if variant not in VARIANTS:
            raise ValueError(unknown_name("HRNet", variant, VARIANTS))
        variant = VARIANTS[variant]

    x = half = _conv(
        x,
        64,
        stride=2,
        activation="relu" if first_relu else None,
        name=f"{prefix}conv1",
        norm_name=f"{prefix}bn1",
    )
    x = _conv(x, 64, stride=2, name=f"{prefix}conv2", norm_name=f"{prefix}bn2")
    for i in range(variant.stem_blocks):
        x = bottleneck(x, variant.stem_width, name=f"{prefix}layer1.{i}")
    branches = [x]
    for stage, modules in enumerate(variant.modules, start=2):
        branches = _transition(branches, variant.width, name=f"{prefix}transition{stage - 1}")
        for i in range(modules):
            branches = _exchange_module(
                branches, variant.blocks, resize=resize, name=f"{prefix}stage{stage}.{i}"
            )
    if widened:
        branches = [
            bottleneck(branch, CLASSIFIER_WIDTH * 2**i, name=f"{prefix}incre_modules.{i}.0")
            for i, branch in enumerate(branches)
        ]
    strides = zip((4, 8, 16, 32), branches, strict=True)
    return {"stride_2": half} | {f"stride_{stride}": branch for stride, branch in strides}


def variant_from_shapes(shapes: Mapping[str, tuple], prefix: str = "") -> HRNetVariant:
    """The sizes of an HRNet from its tensor shapes. Raises KeyError where a tensor is missing."""

    def count(pattern: str) -> int:
        matches = (re.match(re.escape(prefix) + pattern, name) for name in shapes)
        return len({match[1] for match in matches if match})

    return HRNetVariant(
        width=shapes[f"{prefix}transition1.0.0.weight"][0],
        modules=tuple(count(rf"stage{stage}\.(\d+)\.") for stage in (2, 3, 4)),
        blocks=count(r"stage2\.0\.branches\.0\.(\d+)\."),
        stem_blocks=count(r"layer1\.(\d+)\."),
        stem_width=shapes[f"{prefix}layer1.0.conv1.weight"][0],
    )


def _transition(branches: list[KerasTensor], width: int, *, name: str) -> list[KerasTensor]:
    """Adds the next lower branch, made from the lowest one. The first gets its width here."""
    if len(branches) == 1:
        (stem,) = branches
        branches = [_conv(stem, width, name=f"{name}.0.0", norm_name=f"{name}.0.1")]
    else:
        stem = branches[-1]
    i = len(branches)
    lower = _conv(stem, width * 2**i, stride=2, name=f"{name}.{i}.0.0", norm_name=f"{name}.{i}.0.1")
    return [*branches, lower]


def _exchange_module(
    branches: list[KerasTensor], blocks: int, *, resize: str, name: str
) -> list[KerasTensor]:
    """Residual units in every branch; then every branch becomes the sum of all branches."""
    branches = list(branches)
    for i, branch in enumerate(branches):
        for block in range(blocks):
            branch = basic_block(branch, branch.shape[-1], name=f"{name}.branches.{i}.{block}")
        branches[i] = branch
    fused = []
    for i, target in enumerate(branches):
        terms = [
            _fuse(source, j, target, i, resize=resize, name=f"{name}.fuse_layers.{i}.{j}")
            for j, source in enumerate(branches)
        ]
        total = layers.Add(name=f"{name}.fuse_layers.{i}.add")(terms)
        fused.append(layers.ReLU(name=f"{name}.fuse_layers.{i}.act")(total))
    return fused


def _fuse(
    source: KerasTensor, j: int, target: KerasTensor, i: int, *, resize: str, name: str
) -> KerasTensor:
    """Branch j with the size and width of branch i."""
    width = target.shape[-1]
    if j > i:
        source = conv_bn_act(
            source, width, kernel=1, name=f"{name}.0", norm_name=f"{name}.1", activation=None
        )
        interpolation = "nearest" if resize == "nearest" else "bilinear"
        grid = "half_pixel" if resize == "nearest" else resize
        return Resize(grid=grid, interpolation=interpolation, name=f"{name}.resize")(
            source, like=target
        )
    for step in range(i - j):
        last = step == i - j - 1
        source = _conv(
            source,
            width if last else source.shape[-1],
            stride=2,
            activation=None if last else "relu",
            name=f"{name}.{step}.0",
            norm_name=f"{name}.{step}.1",
        )
    return source


def _conv(
    x: KerasTensor,
    filters: int,
    *,
    stride: int = 1,
    activation: str | None = "relu",
    name: str,
    norm_name: str,
) -> KerasTensor:
    return conv_bn_act(
        x, filters, stride=stride, activation=activation, name=name, norm_name=norm_name
    )
