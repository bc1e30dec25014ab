"""DeepLabV3+. Chen, Zhu, Papandreou, Schroff, Adam: Encoder-Decoder with Atrous Separable
Convolution for Semantic Image Segmentation, ECCV 2018, arXiv:1802.02611."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import KerasTensor, layers

from keras_seg import blocks
from keras_seg.arguments import choice
from keras_seg.backbones.given import FORMS, encoder_of
from keras_seg.layers import Resize
from keras_seg.models.options import (
    Activation,
    BackboneOptions,
    BackbonePixels,
    Count,
    Counts,
    Encoder,
    ImageShape,
    Share,
    Weights,
)
from keras_seg.models.registry import register
from keras_seg.models.variants import DeepLabV3PlusVariant, as_variant

ASPP_RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}
"""Dilations of the three 3x3 branches per output stride: the same field of view in the image."""
LOW_LEVEL_CHANNELS = 48


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
    input_shape: ImageShape = (None, None, 3),
    num_classes: int = 21,
    *,
    backbone: Encoder = "mobilenetv2",
    backbone_weights: Weights | None = "imagenet",
    backbone_options: BackboneOptions | None = None,
    output_stride: int = 16,
    channels: Count = 256,
    aspp_rates: Counts | None = None,
    dropout: Share | None = None,
    variant: DeepLabV3PlusVariant | str | None = None,
    preprocessing: BackbonePixels | None = "backbone",
    activation: Activation | None = None,
    upsample_logits: bool = True,
    name: str = "deeplabv3plus",
) -> keras.Model:
    """DeepLabV3+: dilated encoder, atrous spatial pyramid pooling, one skip at stride 4.

    Shapes: image (B, H, W, C) of pixels in 0..255, any H and W → logits (B, H, W, num_classes), or
    with `upsample_logits=False` (B, H/4, W/4, num_classes).

    Args:
        backbone: encoder, one of `keras_seg.backbones.list_backbones()`; a model of Keras
            Applications without its top, or of keras-hub; or a model of your own from an image to
            a dict with the maps "stride_4" and "stride_32" (the deepest one). A model decides the
            weights, and the input shape if its own is fixed.
        backbone_weights: "imagenet", a weights file, or None for random values.
        backbone_options: arguments of the encoder's own function, such as {"alpha": 0.5} of
            MobileNetV2, or {"multi_grid": (1, 2, 4)} of a ResNet, as DeepLabV3 has it.
        output_stride: input size / size of the encoder's last map: 8, 16 or 32.
        channels: width of the pyramid and of the decoder.
        aspp_rates: dilations of the pyramid; None for 6, 12, 18 at output stride 16, and in
            proportion at the others.
        dropout: rate after the pyramid; None for the variant's, 0.1 in the authors' code.
        variant: whose pyramid and decoder, "tensorflow" (the authors', the default), "jfzhang95",
            "vainf" or "smp"; or details of your own, see `DeepLabV3PlusVariant`.
        preprocessing: "backbone" for what the encoder's ImageNet weights were trained with; with
            a dict of maps for pixels as they are. A model that does not show it is refused.
        upsample_logits: False leaves the logits at stride 4.

    Returns: a functional `keras.Model`.

    Raises: ValueError for a wrong option; RuntimeError if weights cannot be downloaded.

    Example:

        model = keras_seg.models.deeplabv3plus(
            (64, 64, 3), num_classes=2, backbone="mobilenetv2", backbone_weights=None
        )

    Differs from the paper: MobileNetV2 as the encoder by default, half-pixel resizing (the
    authors' code aligns corners), encoder batch norm with its own epsilon of 1e-3.
    Source: tensorflow/models research/deeplab, model.py (separable convolutions with norm and ReLU
    after the depthwise and after the pointwise part).
    """
    variant = as_variant(DeepLabV3PlusVariant, variant)
    encoder = encoder_of(
        backbone,
        input_shape,
        output_stride=output_stride,
        weights=backbone_weights,
        preprocessing=preprocessing,
        **backbone_options or {},
    )
    image, features = encoder.input, check_maps(encoder.output)
    if aspp_rates is None:
        choice(output_stride, "output_stride", ASPP_RATES)
        aspp_rates = ASPP_RATES[output_stride]

    x = aspp(
        features["stride_32"],
        channels,
        aspp_rates,
        variant=variant,
        dropout=variant.dropout if dropout is None else dropout,
    )
    x = decoder(x, features["stride_4"], channels, variant=variant)

    x = blocks.classifier(x, num_classes, name="classifier")
    if upsample_logits:
        x = Resize(grid=variant.resize_grid, name="upsample_logits")(x, like=image)
    return keras.Model(image, blocks.output_scores(x, activation), name=name)


def aspp(
    x: KerasTensor,
    channels: int,
    rates: Sequence[int],
    *,
    variant: DeepLabV3PlusVariant,
    dropout: float,
) -> KerasTensor:
    """Atrous spatial pyramid pooling: image pooling, 1x1 and three dilated 3x3, concatenated.

    Shapes: (B, H, W, C) → (B, H, W, channels).
    """
    pooled = layers.GlobalAveragePooling2D(keepdims=True, name="aspp.pool")(x)
    pooled = pointwise(pooled, channels, name="aspp.pool", conv_name="aspp.pool_conv")
    pooled = Resize(name="aspp.pool_up")(pooled, like=x)

    branches = [pointwise(x, channels, name="aspp.conv0")]
    for i, rate in enumerate(rates, start=1):
        branches.append(
            conv3x3(x, channels, kind=variant.pyramid, dilation=rate, name=f"aspp.conv{i}")
        )
    branches = [pooled, *branches] if variant.pooling_first else [*branches, pooled]
    x = layers.Concatenate(name="aspp.concat")(branches)
    x = pointwise(x, channels, name="aspp.project")
    x = layers.Dropout(dropout, name="aspp.dropout")(x)
    if variant.refined:
        x = conv3x3(x, channels, kind=variant.decoder, name="aspp.refine")
    return x


def decoder(
    x: KerasTensor, low_level: KerasTensor, channels: int, *, variant: DeepLabV3PlusVariant
) -> KerasTensor:
    """Joins the pyramid with the narrowed map of the encoder at stride 4.

    Shapes: (B, H/s, W/s, channels), (B, H/4, W/4, C) → (B, H/4, W/4, channels).
    """
    low_level = pointwise(low_level, LOW_LEVEL_CHANNELS, name="decoder.low_level")
    x = Resize(grid=variant.resize_grid, name="decoder.up")(x, like=low_level)
    pair = [low_level, x] if variant.low_level_first else [x, low_level]
    x = layers.Concatenate(name="decoder.concat")(pair)
    for i, rate in enumerate(variant.decoder_dropouts):
        x = conv3x3(x, channels, kind=variant.decoder, name=f"decoder.conv{i}")
        if rate:
            x = layers.Dropout(rate, name=f"decoder.dropout{i}")(x)
    return x


def conv3x3(
    x: KerasTensor, channels: int, *, kind: str, dilation: int = 1, name: str
) -> KerasTensor:
    """A 3x3 convolution of a kind of `DeepLabV3PlusVariant`, with norm and ReLU."""
    if kind == "separable":
        return blocks.separable_conv_bn_act(x, channels, dilation=dilation, name=name)
    if kind == "plain_separable":
        x = blocks.depthwise_conv2d(x, dilation=dilation, name=f"{name}.depthwise")
        return pointwise(x, channels, name=name, conv_name=f"{name}.pointwise")
    return blocks.conv_bn_act(x, channels, dilation=dilation, name=name, norm_name=f"{name}_bn")


def pointwise(
    x: KerasTensor, channels: int, *, name: str, conv_name: str | None = None
) -> KerasTensor:
    """1x1 convolution, batch norm and ReLU: (B, H, W, C) → (B, H, W, channels)."""
    return blocks.conv_bn_act(x, channels, kernel=1, name=conv_name or name, norm_name=f"{name}_bn")


def check_maps(features: object) -> dict[str, KerasTensor]:
    """The output of an encoder; ValueError unless it has the two maps that the network takes."""
    maps = {"stride_4", "stride_32"}
    if not isinstance(features, dict) or not maps <= set(features):
        received = [*features] if isinstance(features, dict) else type(features).__name__
        raise ValueError(
            "The backbone must give a dict with the maps 'stride_4' and 'stride_32' (the deepest). "
            f"Received: {received}. backbone is {FORMS}."
        )
    return features
