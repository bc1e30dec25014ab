"""DeepLabV3+. Chen, Zhu, Papandreou, Schroff, Adam: Encoder-Decoder with Atrous Separable
Convolution for Semantic Image Segmentation, ECCV 2018, arXiv:1802.02611."""

from __future__ import annotations

import keras
from keras import layers

from keras_seg import backbones, blocks
from keras_seg.layers import Resize
from keras_seg.models.registry import register

ASPP_RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}
"""Dilation of the three 3x3 branches by output stride: the same field of view in the image."""
LOW_LEVEL_CHANNELS = 48


@register(
    "deeplabv3plus",
    title="DeepLabV3+",
    paper="arXiv:1802.02611",
    tiny={"channels": 16, "backbone_weights": None},
)
def deeplabv3plus(
    input_shape=(None, None, 3),
    num_classes: int = 21,
    *,
    backbone: str = "mobilenetv2",
    backbone_weights: str | None = "imagenet",
    output_stride: int = 16,
    channels: int = 256,
    dropout: float = 0.1,
    preprocessing: str | None = "backbone",
    activation: str | None = None,
    upsample_logits: bool = True,
    name: str = "deeplabv3plus",
) -> keras.Model:
    """DeepLabV3+: dilated encoder, atrous spatial pyramid pooling, one skip at stride 4.

    Shapes: image (B, H, W, C) of pixels in 0..255, any H and W → logits (B, H, W, num_classes), or
    with `upsample_logits=False` (B, H/4, W/4, num_classes).

    Args:
        backbone: encoder, one of `keras_seg.backbones.list_backbones()`.
        backbone_weights: "imagenet", a weights file, or None for random values.
        output_stride: input size / size of the encoder's last map: 8, 16 or 32.
        channels: width of the pyramid and of the decoder.
        preprocessing: "backbone" for what the encoder's ImageNet weights were trained with.

    Differs from the paper: MobileNetV2 as the encoder by default, half-pixel resizing (the
    authors' code aligns corners), encoder batch norm with its own epsilon of 1e-3.
    Source: tensorflow/models research/deeplab, model.py (separable convolutions with norm and ReLU
    after the depthwise and after the pointwise part).
    Raises: ValueError for unknown options; RuntimeError if weights cannot be downloaded.
    """
    blocks.check_classes(num_classes, activation)
    if preprocessing == "backbone":
        preprocessing = backbones.find(backbone).preprocessing
    encoder = backbones.build(
        backbone,
        input_shape,
        output_stride=output_stride,
        weights=backbone_weights,
        preprocessing=preprocessing,
    )
    image, features = encoder.input, encoder.output

    x = aspp(features["stride_32"], channels, ASPP_RATES[output_stride], dropout=dropout)

    low_level = blocks.conv_bn_act(
        features["stride_4"],
        LOW_LEVEL_CHANNELS,
        kernel=1,
        name="decoder.low_level",
        norm_name="decoder.low_level_bn",
    )
    x = Resize(name="decoder.up")(x, like=low_level)
    x = layers.Concatenate(name="decoder.concat")([x, low_level])
    x = blocks.separable_conv_bn_act(x, channels, name="decoder.conv0")
    x = blocks.separable_conv_bn_act(x, channels, name="decoder.conv1")

    x = blocks.classifier(x, num_classes, name="classifier")
    if upsample_logits:
        x = Resize(name="upsample_logits")(x, like=image)
    return keras.Model(image, blocks.output_scores(x, activation), name=name)


def aspp(x, channels: int, rates: tuple[int, int, int], *, dropout: float):
    """Atrous spatial pyramid pooling: image pooling, 1x1 and three dilated 3x3, concatenated.

    (B, H, W, C) → (B, H, W, channels).
    """
    pooled = layers.GlobalAveragePooling2D(keepdims=True, name="aspp.pool")(x)
    pooled = blocks.conv_bn_act(
        pooled, channels, kernel=1, name="aspp.pool_conv", norm_name="aspp.pool_bn"
    )
    branches = [Resize(name="aspp.pool_up")(pooled, like=x)]
    branches.append(
        blocks.conv_bn_act(x, channels, kernel=1, name="aspp.conv0", norm_name="aspp.conv0_bn")
    )
    for i, rate in enumerate(rates, start=1):
        branches.append(
            blocks.separable_conv_bn_act(x, channels, dilation=rate, name=f"aspp.conv{i}")
        )
    x = layers.Concatenate(name="aspp.concat")(branches)
    x = blocks.conv_bn_act(x, channels, kernel=1, name="aspp.project", norm_name="aspp.project_bn")
    return layers.Dropout(dropout, name="aspp.dropout")(x)
