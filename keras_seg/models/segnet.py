"""SegNet. Badrinarayanan, Kendall, Cipolla: SegNet: A Deep Convolutional Encoder-Decoder
Architecture for Image Segmentation, IEEE TPAMI 2017, arXiv:1511.00561; and its Bayesian form:
Kendall, Badrinarayanan, Cipolla: Bayesian SegNet, BMVC 2017, arXiv:1511.02680."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import keras
from keras import layers

from keras_seg import blocks
from keras_seg.backbones.vgg16_weights import check_vgg16, load_vgg16
from keras_seg.layers import (
    LocalResponseNormalization,
    MaxPoolingWithIndices2D,
    MaxUnpooling2D,
    MonteCarloDropout,
)
from keras_seg.models.registry import register

VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
ROUNDINGS = {"ceil": "same", "floor": "valid"}
"""How pooling rounds odd sizes → the layer's padding."""
BAYESIAN_RATE = 0.5
BAYESIAN_FROM = 3
"""First stage whose pooling and whose decoder are followed by dropout, in all of their networks."""


@register(
    "segnet",
    title="SegNet",
    paper="arXiv:1511.00561",
    tiny={"widths": ((4, 4), (4, 4), (8, 8, 8), (8, 8, 8), (8, 8, 8))},
    int8_decibels=5.0,
)
def segnet(
    input_shape=(None, None, 3),
    num_classes: int = 21,
    *,
    widths: tuple[tuple[int, ...], ...] = VGG16,
    rounding: str = "ceil",
    bayesian: bool = False,
    dropout: float | None = None,
    backbone_weights: str | Mapping | None = None,
    preprocessing: str | None = "unit",
    activation: str | None = None,
    name: str = "segnet",
) -> keras.Model:
    """SegNet: VGG16, mirrored; the decoder learns from the encoder only where each maximum stood.

    Shapes: image (B, H, W, C) of pixels in 0..255, any H and W → logits (B, H, W, num_classes).

    Args:
        widths: channels of the convolutions of each encoder stage. The decoder mirrors them.
        rounding: how pooling halves an odd size: "ceil" as the authors' Caffe, or "floor" as most
            PyTorch ports, whose odd last row stays zero after unpooling.
        bayesian: Bayesian SegNet: its dropout stays on at inference, so that every call draws
            another network; see `models.predict_with_uncertainty`.
        dropout: rate after pooling and decoder of the third and all deeper stages. None: 0.5 if
            bayesian, else none.
        backbone_weights: weights of VGG16 for the encoder's convolutions: "imagenet", a file of
            `keras.applications.VGG16` without top, a file or mapping of torchvision's vgg16 or
            vgg16_bn (whose norms are taken too), or None for random values.

    Differs from the paper: pixels are scaled to 0..1 (the authors' network takes raw BGR), batch
    norm with epsilon 1e-5 and running averages.
    Source: alexgkendall/SegNet-Tutorial, segnet_train.prototxt, whose layer names these are.
    Raises: ValueError for unknown options, and for VGG16 weights with other widths or channels;
        RuntimeError if the weights cannot be downloaded.
    """
    blocks.check_classes(num_classes, activation)
    _check(widths, rounding)
    _check_size(input_shape, rounding, len(widths))
    image, x = blocks.image_input(input_shape, preprocessing=preprocessing)
    if backbone_weights is not None:
        check_vgg16(widths, VGG16, image.shape[-1])
    drop = partial(_dropout, rate=dropout, bayesian=bayesian)
    conv = partial(blocks.conv_bn_act, use_bias=True)

    pooled = []  # of each stage: the map before pooling, and its places
    for stage, stage_widths in enumerate(widths, start=1):
        for i, width in enumerate(stage_widths, start=1):
            x = conv(x, width, name=f"conv{stage}_{i}", norm_name=f"conv{stage}_{i}_bn")
        before, (x, places) = x, _pool(x, rounding, name=f"pool{stage}")
        pooled.append((before, places))
        x = drop(x, stage, name=f"encdrop{stage}")

    for stage, stage_widths in reversed([*enumerate(widths, start=1)]):
        before, places = pooled.pop()
        x = _unpool(x, places, before, rounding, name=f"upsample{stage}")
        for i in range(len(stage_widths), 0, -1):
            if (stage, i) == (1, 1):
                break
            # each gives what its mirror image takes
            width = stage_widths[i - 2] if i > 1 else widths[stage - 2][-1]
            x = conv(x, width, name=f"conv{stage}_{i}_D", norm_name=f"conv{stage}_{i}_D_bn")
        x = drop(x, stage, name=f"decdrop{stage}")

    x = blocks.classifier(x, num_classes, kernel=3, name="conv1_1_D")
    model = keras.Model(image, blocks.output_scores(x, activation), name=name)
    if backbone_weights is not None:
        load_vgg16(model, backbone_weights, preprocessing, norm_name="conv{}_bn")
    return model


@register(
    "segnet_basic",
    title="SegNet-Basic",
    paper="arXiv:1511.00561",
    tiny={"widths": (8, 8, 8, 8), "kernel": 3},
    int8_decibels=None,  # the squares of its input normalisation
)
def segnet_basic(
    input_shape=(None, None, 3),
    num_classes: int = 21,
    *,
    widths: tuple[int, ...] = (64, 64, 64, 64),
    kernel: int = 7,
    use_bias: bool = True,
    local_response: bool = True,
    rounding: str = "ceil",
    bayesian: bool = False,
    dropout: float | None = None,
    preprocessing: str | None = None,
    activation: str | None = None,
    name: str = "segnet_basic",
) -> keras.Model:
    """SegNet-Basic: four stages of one large convolution each, and a decoder without ReLU.

    Shapes: image (B, H, W, C) of pixels in 0..255, any H and W → logits (B, H, W, num_classes).

    Args:
        widths: channels of each encoder stage.
        kernel: size of all convolutions but the last, which is 1x1.
        use_bias: biases in the convolutions before a batch norm.
        local_response: normalise each pixel by the power of its channels, before all else; needs
            no other preprocessing.
        rounding, bayesian, dropout: as in `segnet`.

    Differs from the paper: with biases, and local response normalisation in place of local
    contrast normalisation, both as in the authors' network; batch norm as in `segnet`.
    Source: alexgkendall/SegNet-Tutorial, segnet_basic_train.prototxt, whose layer names these are.
    Raises: ValueError for unknown options.
    """
    blocks.check_classes(num_classes, activation)
    blocks.check_widths(widths, at_least=1)
    _check([widths], rounding)
    _check_size(input_shape, rounding, len(widths))
    image, x = blocks.image_input(input_shape, preprocessing=preprocessing)
    drop = partial(_dropout, rate=dropout, bayesian=bayesian)
    conv = partial(blocks.conv_bn_act, kernel=kernel, use_bias=use_bias)

    if local_response:
        x = LocalResponseNormalization(name="norm")(x)
    pooled = []
    for stage, width in enumerate(widths, start=1):
        x = conv(x, width, name=f"conv{stage}", norm_name=f"conv{stage}_bn")
        before, (x, places) = x, _pool(x, rounding, name=f"pool{stage}")
        pooled.append((before, places))
        x = drop(x, stage, name=f"encdrop{stage}")

    for stage in range(len(widths), 0, -1):
        before, places = pooled.pop()
        x = _unpool(x, places, before, rounding, name=f"upsample{stage}")
        width = widths[max(stage - 2, 0)]
        block = f"conv_decode{stage}"
        x = conv(x, width, name=block, norm_name=f"{block}_bn", activation=None)
        x = drop(x, stage, name=f"decdrop{stage}")

    x = blocks.classifier(x, num_classes, name="conv_classifier")
    return keras.Model(image, blocks.output_scores(x, activation), name=name)


def _pool(x, rounding, *, name):
    return MaxPoolingWithIndices2D(2, padding=ROUNDINGS[rounding], name=name)(x)


def _unpool(x, places, like, rounding, *, name):
    return MaxUnpooling2D(2, padding=ROUNDINGS[rounding], name=name)(x, places, like=like)


def _dropout(x, stage, *, rate, bayesian, name):
    rate = (BAYESIAN_RATE if bayesian else 0.0) if rate is None else rate
    if stage < BAYESIAN_FROM or not rate:
        return x
    return (MonteCarloDropout if bayesian else layers.Dropout)(rate, name=name)(x)


def _check(widths, rounding):
    blocks.check_choice("rounding", rounding, ROUNDINGS)
    blocks.check_stage_widths(widths)


def _check_size(input_shape, rounding: str, stages: int):
    """Raises ValueError for an image of which pooling that rounds down leaves nothing."""
    smallest = 2**stages
    sides = blocks.check_input_shape(input_shape)[:2]
    if rounding == "floor" and any(side is not None and side < smallest for side in sides):
        raise ValueError(
            f"With rounding='floor' the sides of input_shape must be at least {smallest} pixels, "
            f"so that one is left after {stages} poolings. Received: {tuple(input_shape)}. Use "
            "rounding='ceil' for smaller images."
        )
