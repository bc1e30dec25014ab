"""DANet. Fu, Liu, Tian, Li, Bao, Fang, Lu: Dual Attention Network for Scene Segmentation,
CVPR 2019, arXiv:1809.02983."""

from __future__ import annotations

from collections.abc import Mapping

import keras
from keras import layers

from keras_seg import backbones, blocks
from keras_seg.backbones.resnet import stage_dilations
from keras_seg.layers import ChannelAttention, PositionAttention, Resize
from keras_seg.models.registry import register

REDUCTION = 4
"""Channels of the encoder's last map / channels of the head."""
QUERY_REDUCTION = 8
"""Channels of the head / channels of queries and keys."""


@register(
    "danet",
    title="DANet",
    paper="arXiv:1809.02983",
    tiny={
        "backbone": "resnet18",
        "backbone_weights": None,
        "backbone_options": {"width": 8},
        "multi_grid": (4, 8),
        "attention_scale": 0.5,
    },
)
def danet(
    input_shape=(None, None, 3),
    num_classes: int = 21,
    *,
    backbone: str = "resnet101",
    backbone_weights: str | None = "imagenet",
    backbone_options: Mapping | None = None,
    output_stride: int = 8,
    multi_grid: tuple[int, ...] | None = (4, 8, 16),
    auxiliary_head: bool = False,
    query_chunk: int | None = 1024,
    attention_scale: float = 0.0,
    dropout: float = 0.1,
    resize_grid: str = "align_corners",
    preprocessing: str | None = "backbone",
    activation: str | None = None,
    upsample_logits: bool = True,
    name: str = "danet",
) -> keras.Model:
    """DANet: attention over positions and attention over channels, side by side, summed.

    Shapes: image (B, H, W, C) of pixels in 0..255, any H and W → logits (B, H, W, num_classes), or
    with `upsample_logits=False` at the stride of the encoder. With `auxiliary_head` a dict of
    "logits" (the sum), "pam" (positions) and "cam" (channels).

    Args:
        backbone: encoder, one of `keras_seg.backbones.list_backbones()`.
        backbone_weights: "imagenet", a weights file, or None for random values.
        backbone_options: arguments of the encoder's own function. {"deep_stem": "danet"} begins a
            ResNet as the authors' later code does: three 3x3 convolutions for one of 7x7.
        output_stride: input size / size of the encoder's last map: 8, 16 or 32.
        multi_grid: dilation of each block of a ResNet's last stage, as it is and not as a factor;
            None for what the output stride asks for, and for other encoders.
        auxiliary_head: return each branch's own scores too; the authors train with the sum of
            three equal losses.
        query_chunk: bounds the memory of training, see `keras_seg.layers.PositionAttention`.
        attention_scale: value that the learned scales of both attentions start from.
        dropout: share of channels dropped before the scores.
        resize_grid: sampling grid of the logits' resize, "align_corners" or "half_pixel".

    Differs from the paper: as in the authors' code, each branch reduces the encoder's map by a
    convolution of its own, and channel attention favours the channels that differ most. Equal in
    structure and layer names to junfu1115/DANet, without its prefix `pretrained.`.
    Raises: ValueError for unknown options; RuntimeError if weights cannot be downloaded.
    """
    blocks.check_classes(num_classes, activation)
    encoder = build_encoder(
        input_shape,
        backbone,
        multi_grid,
        output_stride=output_stride,
        weights=backbone_weights,
        preprocessing=preprocessing,
        **backbone_options or {},
    )
    image, x = encoder.input, encoder.output["stride_32"]
    width = x.shape[-1] // REDUCTION

    positions = conv(x, width, name="head.conv5a")
    positions = position_attention(positions, query_chunk, attention_scale, name="head.sa")
    positions = conv(positions, width, name="head.conv51")

    channels = conv(x, width, name="head.conv5c")
    channels = ChannelAttention(initial_scale=attention_scale, name="head.sc")(channels)
    channels = conv(channels, width, name="head.conv52")

    fused = layers.Add(name="head.sum")([positions, channels])
    heads = {"logits": (fused, "head.conv8")}
    if auxiliary_head:
        heads |= {"pam": (positions, "head.conv6"), "cam": (channels, "head.conv7")}

    outputs = {}
    for key, (x, path) in heads.items():
        x = layers.SpatialDropout2D(dropout, name=f"{path}.0")(x)
        x = blocks.classifier(x, num_classes, name=f"{path}.1")
        if upsample_logits:
            x = Resize(grid=resize_grid, name=f"{key}.upsample")(x, like=image)
        outputs[key] = blocks.output_scores(x, activation, name=key)
    return keras.Model(image, outputs if auxiliary_head else outputs["logits"], name=name)


def build_encoder(input_shape, backbone: str, multi_grid, *, preprocessing, **options):
    """The dilated encoder, its last stage with the dilations of `multi_grid`."""
    facts = backbones.find(backbone)
    if preprocessing == "backbone":
        preprocessing = facts.preprocessing
    if multi_grid:
        if not backbone.startswith("resnet"):
            raise ValueError(
                f"multi_grid is for ResNets. Received: backbone={backbone!r} with multi_grid="
                f"{multi_grid}. Pass multi_grid=None."
            )
        dilations = stage_dilations(facts.facts["depth"], options["output_stride"])
        options["dilations"] = [*dilations[:-1], tuple(multi_grid)]
    return backbones.build(backbone, input_shape, preprocessing=preprocessing, **options)


def conv(x, width: int, *, name: str):
    """3x3 convolution, batch norm and ReLU: (B, H, W, C) → (B, H, W, width)."""
    return blocks.conv_bn_act(x, width, name=f"{name}.0", norm_name=f"{name}.1")


def position_attention(x, query_chunk: int | None, initial_scale: float, *, name: str):
    """Every position looks at all positions: (B, H, W, C) → (B, H, W, C)."""
    channels = x.shape[-1]
    query, key, value = (
        layers.Conv2D(width, 1, name=f"{name}.{part}_conv")(x)
        for part, width in (
            ("query", channels // QUERY_REDUCTION),
            ("key", channels // QUERY_REDUCTION),
            ("value", channels),
        )
    )
    return PositionAttention(query_chunk, initial_scale=initial_scale, name=name)(
        x, query, key, value
    )
