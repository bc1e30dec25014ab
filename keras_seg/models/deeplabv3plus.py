"""DeepLabV3+. Chen, Zhu, Papandreou, Schroff, Adam: Encoder-Decoder with Atrous Separable
Convolution for Semantic Image Segmentation, ECCV 2018, arXiv:1802.02611."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import keras
from keras import layers

from keras_seg import backbones, blocks
from keras_seg.layers import Resize
from keras_seg.models.registry import register
from keras_seg.names import unknown_name

ASPP_RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}
"""Dilation of the three 3x3 branches by output stride: the same field of view in the image."""
LOW_LEVEL_CHANNELS = 48


@dataclass(frozen=True)
class Layout:
    """What the published codes of the pyramid and the decoder disagree about.

    pyramid, decoder: their 3x3 convolutions, each followed by norm and ReLU: "separable" (with
        norm and ReLU also between the depthwise and the pointwise part), "plain_separable"
        (nothing between) or "full".
    pooling_first: the image pooling comes before the other branches in the concatenation, or last.
    refined: a separable convolution follows the pyramid.
    low_level_first: order of the concatenation in the decoder.
    dropout: after the pyramid.
    decoder_dropouts: after each of the decoder's convolutions; there are as many of these.
    """

    pyramid: str = "separable"
    decoder: str = "separable"
    pooling_first: bool = True
    refined: bool = False
    low_level_first: bool = False
    dropout: float = 0.1
    decoder_dropouts: tuple[float, ...] = (0.0, 0.0)


LAYOUTS = {
    "tensorflow": Layout(),
    "jfzhang95": Layout(
        "full", "full", pooling_first=False, dropout=0.5, decoder_dropouts=(0.5, 0.1)
    ),
    "vainf": Layout(
        "full", "full", pooling_first=False, low_level_first=True, decoder_dropouts=(0.0,)
    ),
    "smp": Layout(
        "plain_separable",
        "plain_separable",
        pooling_first=False,
        refined=True,
        dropout=0.5,
        decoder_dropouts=(0.0,),
    ),
}
"""The authors' tensorflow/models, jfzhang95/pytorch-deeplab-xception, VainF/DeepLabV3Plus-Pytorch
and segmentation_models.pytorch."""


@register(
    "deeplabv3plus",
    title="DeepLabV3+",
    paper="arXiv:1802.02611",
    tiny={
        "backbone": "resnet18",
        "backbone_weights": None,
        "backbone_options": {"width": 8},
        "channels": 16,
    },
)
def deeplabv3plus(
    input_shape=(None, None, 3),
    num_classes: int = 21,
    *,
    backbone: str | keras.Model = "mobilenetv2",
    backbone_weights: str | None = "imagenet",
    backbone_options: Mapping | None = None,
    output_stride: int = 16,
    channels: int = 256,
    layout: str | Layout = "tensorflow",
    aspp_rates: tuple[int, int, int] | None = None,
    dropout: float | None = None,
    resize_grid: str = "half_pixel",
    preprocessing: str | None = "backbone",
    activation: str | None = None,
    upsample_logits: bool = True,
    name: str = "deeplabv3plus",
) -> keras.Model:
    """DeepLabV3+: dilated encoder, atrous spatial pyramid pooling, one skip at stride 4.

    Shapes: image (B, H, W, C) of pixels in 0..255, any H and W → logits (B, H, W, num_classes), or
    with `upsample_logits=False` (B, H/4, W/4, num_classes).

    Args:
        backbone: encoder, one of `keras_seg.backbones.list_backbones()`; or a model of your own
            from an image to a dict with the maps "stride_4" and "stride_32" (the deepest one),
            which then decides the input shape, the preprocessing and the weights.
        backbone_weights: "imagenet", a weights file, or None for random values.
        backbone_options: arguments of the encoder's own function, such as {"alpha": 0.5} of
            MobileNetV2, or {"multi_grid": (1, 2, 4)} of a ResNet, as DeepLabV3 has it.
        output_stride: input size / size of the encoder's last map: 8, 16 or 32.
        channels: width of the pyramid and of the decoder.
        layout: whose pyramid and decoder, one of `LAYOUTS`, or a `Layout` of your own.
        aspp_rates: dilations of the pyramid; None for 6, 12, 18 at output stride 16, and in
            proportion at the others.
        dropout: after the pyramid; None for the layout's, 0.1 in the authors' code.
        resize_grid: sampling grid of every resize, "half_pixel" or "align_corners".
        preprocessing: "backbone" for what the encoder's ImageNet weights were trained with.

    Differs from the paper: MobileNetV2 as the encoder by default, half-pixel resizing (the
    authors' code aligns corners), encoder batch norm with its own epsilon of 1e-3.
    Source: tensorflow/models research/deeplab, model.py (separable convolutions with norm and ReLU
    after the depthwise and after the pointwise part).
    Raises: ValueError for unknown options; RuntimeError if weights cannot be downloaded.
    """
    blocks.check_classes(num_classes, activation)
    layout = find_layout(layout)
    if isinstance(backbone, str):
        if preprocessing == "backbone":
            preprocessing = backbones.find(backbone).preprocessing
        backbone = backbones.build(
            backbone,
            input_shape,
            output_stride=output_stride,
            weights=backbone_weights,
            preprocessing=preprocessing,
            **backbone_options or {},
        )
    image, features = backbone.input, check_maps(backbone.output)
    if aspp_rates is None:
        blocks.check_choice("output_stride", output_stride, ASPP_RATES)
        aspp_rates = ASPP_RATES[output_stride]

    x = aspp(
        features["stride_32"],
        channels,
        aspp_rates,
        layout=layout,
        dropout=layout.dropout if dropout is None else dropout,
    )
    x = decoder(x, features["stride_4"], channels, layout=layout, resize_grid=resize_grid)

    x = blocks.classifier(x, num_classes, name="classifier")
    if upsample_logits:
        x = Resize(grid=resize_grid, name="upsample_logits")(x, like=image)
    return keras.Model(image, blocks.output_scores(x, activation), name=name)


def aspp(x, channels: int, rates: tuple[int, int, int], *, layout: Layout, dropout: float):
    """Atrous spatial pyramid pooling: image pooling, 1x1 and three dilated 3x3, concatenated.

    (B, H, W, C) → (B, H, W, channels).
    """
    pooled = layers.GlobalAveragePooling2D(keepdims=True, name="aspp.pool")(x)
    pooled = pointwise(pooled, channels, name="aspp.pool", conv_name="aspp.pool_conv")
    pooled = Resize(name="aspp.pool_up")(pooled, like=x)

    branches = [pointwise(x, channels, name="aspp.conv0")]
    for i, rate in enumerate(rates, start=1):
        branches.append(
            conv3x3(x, channels, kind=layout.pyramid, dilation=rate, name=f"aspp.conv{i}")
        )
    branches = [pooled, *branches] if layout.pooling_first else [*branches, pooled]
    x = layers.Concatenate(name="aspp.concat")(branches)
    x = pointwise(x, channels, name="aspp.project")
    x = layers.Dropout(dropout, name="aspp.dropout")(x)
    if layout.refined:
        x = conv3x3(x, channels, kind=layout.decoder, name="aspp.refine")
    return x


def decoder(x, low_level, channels: int, *, layout: Layout, resize_grid: str):
    """Joins the pyramid with the narrowed map of the encoder at stride 4.

    (B, H/s, W/s, channels), (B, H/4, W/4, C) → (B, H/4, W/4, channels).
    """
    low_level = pointwise(low_level, LOW_LEVEL_CHANNELS, name="decoder.low_level")
    x = Resize(grid=resize_grid, name="decoder.up")(x, like=low_level)
    pair = [low_level, x] if layout.low_level_first else [x, low_level]
    x = layers.Concatenate(name="decoder.concat")(pair)
    for i, rate in enumerate(layout.decoder_dropouts):
        x = conv3x3(x, channels, kind=layout.decoder, name=f"decoder.conv{i}")
        if rate:
            x = layers.Dropout(rate, name=f"decoder.dropout{i}")(x)
    return x


def conv3x3(x, channels: int, *, kind: str, dilation: int = 1, name: str):
    """A 3x3 convolution of the kind that the layout asks for, with norm and ReLU."""
    if kind == "separable":
        return blocks.separable_conv_bn_act(x, channels, dilation=dilation, name=name)
    if kind == "plain_separable":
        x = blocks.depthwise_conv2d(x, dilation=dilation, name=f"{name}.depthwise")
        return pointwise(x, channels, name=name, conv_name=f"{name}.pointwise")
    return blocks.conv_bn_act(x, channels, dilation=dilation, name=name, norm_name=f"{name}_bn")


def pointwise(x, channels: int, *, name: str, conv_name: str | None = None):
    """1x1 convolution, batch norm and ReLU: (B, H, W, C) → (B, H, W, channels)."""
    return blocks.conv_bn_act(x, channels, kernel=1, name=conv_name or name, norm_name=f"{name}_bn")


def check_maps(features) -> dict:
    """What an encoder gives; ValueError unless it has the two maps that the network takes."""
    maps = {"stride_4", "stride_32"}
    if not isinstance(features, dict) or not maps <= set(features):
        received = [*features] if isinstance(features, dict) else type(features).__name__
        raise ValueError(
            "The backbone must give a dict with the maps 'stride_4' and 'stride_32' (the deepest). "
            f"Received: {received}"
        )
    return features


def find_layout(layout: str | Layout) -> Layout:
    """The layout of that name, or a ValueError that names the nearest."""
    if isinstance(layout, Layout):
        return layout
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise ValueError(unknown_name("layout", layout, LAYOUTS))
    return LAYOUTS[layout]
