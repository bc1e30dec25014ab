"""DANet. Fu, Liu, Tian, Li, Bao, Fang, Lu: Dual Attention Network for Scene Segmentation,
CVPR 2019, arXiv:1809.02983."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import KerasTensor, layers

from keras_seg import backbones, blocks
from keras_seg.backbones.given import encoder_of
from keras_seg.backbones.resnet import stage_dilations
from keras_seg.layers import ChannelAttention, PositionAttention, Resize
from keras_seg.models.options import (
    Activation,
    BackboneOptions,
    BackbonePixels,
    Count,
    Counts,
    Encoder,
    ImageShape,
    OutputStride,
    Share,
    Weights,
)
from keras_seg.models.registry import register
from keras_seg.models.variants import DANetVariant

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
        "variant": {"attention_scale": 0.5},
    },
)
def danet(
    input_shape: ImageShape = (None, None, 3),
    num_classes: int = 21,
    *,
    backbone: Encoder = "resnet101",
    backbone_weights: Weights | None = "imagenet",
    backbone_options: BackboneOptions | None = None,
    output_stride: OutputStride = 8,
    multi_grid: Counts | None = (4, 8, 16),
    auxiliary_head: bool = False,
    query_chunk: Count | None = 1024,
    dropout: Share = 0.1,
    variant: DANetVariant | None = None,
    preprocessing: BackbonePixels | None = "backbone",
    activation: Activation | None = None,
    upsample_logits: bool = True,
    name: str = "danet",
) -> keras.Model:
    """DANet: attention over positions and attention over channels, side by side, summed.

    Shapes: image (B, H, W, C) of pixels in 0..255, any H and W → logits (B, H, W, num_classes), or
    with `upsample_logits=False` at the stride of the encoder.

    Args:
        backbone: encoder, one of `keras_seg.backbones.list_backbones()`; or a model, as in
            `keras_seg.models.deeplabv3plus`, with multi_grid=None.
        backbone_weights: "imagenet", a weights file, or None for random values.
        backbone_options: arguments of the encoder's own function. {"deep_stem": "danet"} gives a
            ResNet the stem of the authors' later code: three 3x3 convolutions instead of one 7x7.
        output_stride: input size / size of the encoder's last map: 8, 16 or 32.
        multi_grid: dilation of each block of a ResNet's last stage, as an absolute value and not as
            a factor; None for the dilations of the output stride, and for other encoders.
        auxiliary_head: also return the scores of each branch; the authors train with the sum of
            three equal losses.
        query_chunk: bounds the memory of training, see `keras_seg.layers.PositionAttention`.
        dropout: share of channels dropped before the scores.
        variant: details of published implementations, see `DANetVariant`.
        preprocessing: "backbone" for what the encoder's ImageNet weights were trained with.
        upsample_logits: False leaves the logits at the stride of the encoder.

    Returns: a functional `keras.Model`. With `auxiliary_head` its output is a dict of "logits" (the
        sum), "pam" (positions) and "cam" (channels).

    Raises: ValueError for a wrong option; RuntimeError if weights cannot be downloaded.

    Example:

        model = keras_seg.models.danet(
            (64, 64, 3), 2, backbone="resnet18", backbone_weights=None, multi_grid=None
        )

    Differs from the paper: as in the authors' code, each branch reduces the encoder's map by its
    own convolution, and channel attention favours the channels that differ most.
    Source: junfu1115/DANet, which has these layer names behind a prefix `pretrained.`.
    """
    variant = variant or DANetVariant()
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
    positions = position_attention(positions, query_chunk, variant.attention_scale, name="head.sa")
    positions = conv(positions, width, name="head.conv51")

    channels = conv(x, width, name="head.conv5c")
    channels = ChannelAttention(initial_scale=variant.attention_scale, name="head.sc")(channels)
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
            x = Resize(grid=variant.resize_grid, name=f"{key}.upsample")(x, like=image)
        outputs[key] = blocks.output_scores(x, activation, name=key)
    return keras.Model(image, outputs if auxiliary_head else outputs["logits"], name=name)


def build_encoder(
    input_shape: ImageShape,
    backbone: Encoder,
    multi_grid: Sequence[int] | None,
    *,
    preprocessing: str | None,
    **options: Any,
) -> keras.Model:
    """The dilated encoder; its last stage has the dilations of `multi_grid`."""
    if multi_grid:
        facts = backbones.find(backbone).facts if isinstance(backbone, str) else {}
        if not str(backbone).startswith("resnet"):
            raise ValueError(
                f"multi_grid is for ResNets by name. Received: backbone={backbone!r} with "
                f"multi_grid={multi_grid}. Pass multi_grid=None."
            )
        dilations = stage_dilations(facts["depth"], options["output_stride"])
        options["dilations"] = [*dilations[:-1], tuple(multi_grid)]
    return encoder_of(backbone, input_shape, preprocessing=preprocessing, **options)


def conv(x: KerasTensor, width: int, *, name: str) -> KerasTensor:
    """3x3 convolution, batch norm and ReLU: (B, H, W, C) → (B, H, W, width)."""
    return blocks.conv_bn_act(x, width, name=f"{name}.0", norm_name=f"{name}.1")


def position_attention(
    x: KerasTensor, query_chunk: int | None, initial_scale: float, *, name: str
) -> KerasTensor:
    """Every position attends to all positions: (B, H, W, C) → (B, H, W, C)."""
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
