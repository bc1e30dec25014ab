"""SegNet. Badrinarayanan, Kendall, Cipolla: SegNet: A Deep Convolutional Encoder-Decoder
Architecture for Image Segmentation, IEEE TPAMI 2017, arXiv:1511.00561; and its Bayesian form:
Kendall, Badrinarayanan, Cipolla: Bayesian SegNet, BMVC 2017, arXiv:1511.02680."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import keras
from keras import KerasTensor, layers

from keras_seg import blocks
from keras_seg.arguments import image_shape
from keras_seg.backbones.vgg16_weights import VGG16_WIDTHS, check_vgg16, load_vgg16
from keras_seg.layers import (
    LocalResponseNormalization,
    MaxPoolingWithIndices2D,
    MaxUnpooling2D,
    MonteCarloDropout,
)
from keras_seg.models.options import (
    Activation,
    Count,
    ImageShape,
    Pixels,
    Share,
    StageWidths,
    Weights,
    at_least,
)
from keras_seg.models.registry import register

PADDING_OF = {"ceil": "same", "floor": "valid"}
"""How pooling rounds odd sizes → the layer's padding."""
BAYESIAN_RATE = 0.5
DROPOUT_FROM = 3
"""First stage whose pooling and whose decoder are followed by dropout, in all of their networks."""


@register(
    "segnet",
    title="SegNet",
    paper="arXiv:1511.00561",
    tiny={"widths": ((4, 4), (4, 4), (8, 8, 8), (8, 8, 8), (8, 8, 8))},
    int8_decibels=5.0,
)
def segnet(
    input_shape: ImageShape = (None, None, 3),
    num_classes: int = 21,
    *,
    widths: StageWidths = VGG16_WIDTHS,
    rounding: Literal["ceil", "floor"] = "ceil",
    bayesian: bool = False,
    dropout: Share | None = None,
    backbone_weights: Weights | None = None,
    preprocessing: Pixels | None = "unit",
    activation: Activation | None = None,
    name: str = "segnet",
) -> keras.Model:
    """SegNet: VGG16, mirrored; the decoder gets from the encoder only the place of each maximum.

    Shapes: image (B, H, W, C) of pixels in 0..255, any H and W → logits (B, H, W, num_classes).

    Args:
        widths: channels of the convolutions, a list per encoder stage. The decoder mirrors them.
        rounding: how pooling halves an odd size: "ceil" as the authors' Caffe, or "floor" as most
            PyTorch ports, whose odd last row stays zero after unpooling.
        bayesian: Bayesian SegNet: dropout stays active at inference, so that every call samples
            another network; see `models.predict_with_uncertainty`.
        dropout: rate after pooling and decoder of the third and all deeper stages. None: 0.5 if
            bayesian, else 0.
        backbone_weights: weights of VGG16 for the encoder's convolutions: "imagenet", a file of
            `keras.applications.VGG16` without top, a file or mapping of torchvision's vgg16 or
            vgg16_bn (whose norms are loaded too), or None for random values. The first kernel is
            converted to the network's pixels and keeps its size, with which it learns.

    Returns: a functional `keras.Model`.

    Raises: ValueError for a wrong option, and for VGG16 weights with other widths or channels;
        RuntimeError if the weights cannot be downloaded.

    Example:

        model = keras_seg.models.segnet(
            (64, 64, 3), num_classes=2, widths=((8, 8), (16, 16), (32, 32))
        )

    Differs from the paper: pixels are scaled to 0..1 (the authors' network takes raw BGR), batch
    norm with epsilon 1e-5 and running averages.
    Source: alexgkendall/SegNet-Tutorial, segnet_train.prototxt, which has these layer names.
    """
    _check_size(input_shape, rounding, len(widths))
    image, x = blocks.image_input(input_shape, preprocessing=preprocessing)
    if backbone_weights is not None:
        check_vgg16(widths, image.shape[-1])
    drop = partial(_dropout, rate=dropout, bayesian=bayesian)
    conv = partial(blocks.conv_bn_act, use_bias=True)

    # Encoder.
    pooled = []  # per stage: the map before pooling, and the places of its maxima
    for stage, stage_widths in enumerate(widths, start=1):
        for i, width in enumerate(stage_widths, start=1):
            x = conv(x, width, name=f"conv{stage}_{i}", norm_name=f"conv{stage}_{i}_bn")
        before, (x, places) = x, _pool(x, rounding, name=f"pool{stage}")
        pooled.append((before, places))
        x = drop(x, stage, name=f"encdrop{stage}")

    # Decoder.
    for stage, stage_widths in reversed([*enumerate(widths, start=1)]):
        before, places = pooled.pop()
        x = _unpool(x, places, before, rounding, name=f"upsample{stage}")
        for i in range(len(stage_widths), 0, -1):
            if (stage, i) == (1, 1):
                break
            # each has as many output channels as its mirror image has input channels
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
    int8_decibels=6.5,  # indices, and the squares of its input normalisation
)
def segnet_basic(
    input_shape: ImageShape = (None, None, 3),
    num_classes: int = 21,
    *,
    widths: Annotated[tuple[int, ...], at_least(1, per="stage")] = (64, 64, 64, 64),
    kernel: Count = 7,
    use_bias: bool = True,
    local_response: bool = True,
    rounding: Literal["ceil", "floor"] = "ceil",
    bayesian: bool = False,
    dropout: Share | None = None,
    preprocessing: Pixels | None = None,
    activation: Activation | None = None,
    name: str = "segnet_basic",
) -> keras.Model:
    """SegNet-Basic: four stages of one large convolution each, and a decoder without ReLU.

    Shapes: image (B, H, W, C) of pixels in 0..255, any H and W → logits (B, H, W, num_classes).

    Args:
        widths: channels per encoder stage.
        kernel: size of all convolutions except the last, which is 1x1.
        use_bias: biases in the convolutions before a batch norm.
        local_response: first normalise each pixel by the power of its channels, in place of
            preprocessing.
        rounding, bayesian, dropout: as in `segnet`.

    Returns: a functional `keras.Model`.

    Raises: ValueError for a wrong option.

    Example:

        model = keras_seg.models.segnet_basic((64, 64, 3), num_classes=2, widths=(16, 16))

    Differs from the paper: with biases, and local response normalisation instead of local contrast
    normalisation, both as in the authors' network; batch norm as in `segnet`.
    Source: alexgkendall/SegNet-Tutorial, segnet_basic_train.prototxt, which has these layer names.
    """
    _check_size(input_shape, rounding, len(widths))
    image, x = blocks.image_input(input_shape, preprocessing=preprocessing)
    drop = partial(_dropout, rate=dropout, bayesian=bayesian)
    conv = partial(blocks.conv_bn_act, kernel=kernel, use_bias=use_bias)

    if local_response:
        x = LocalResponseNormalization(name="norm")(x)

    # Encoder.
    pooled = []  # per stage: the map before pooling, and the places of its maxima
    for stage, width in enumerate(widths, start=1):
        x = conv(x, width, name=f"conv{stage}", norm_name=f"conv{stage}_bn")
        before, (x, places) = x, _pool(x, rounding, name=f"pool{stage}")
        pooled.append((before, places))
        x = drop(x, stage, name=f"encdrop{stage}")

    # Decoder.
    for stage in range(len(widths), 0, -1):
        before, places = pooled.pop()
        x = _unpool(x, places, before, rounding, name=f"upsample{stage}")
        width = widths[max(stage - 2, 0)]
        block = f"conv_decode{stage}"
        x = conv(x, width, name=block, norm_name=f"{block}_bn", activation=None)
        x = drop(x, stage, name=f"decdrop{stage}")

    x = blocks.classifier(x, num_classes, name="conv_classifier")
    return keras.Model(image, blocks.output_scores(x, activation), name=name)


def _pool(x: KerasTensor, rounding: str, *, name: str) -> tuple[KerasTensor, KerasTensor]:
    return MaxPoolingWithIndices2D(2, padding=PADDING_OF[rounding], name=name)(x)


def _unpool(
    x: KerasTensor, places: KerasTensor, like: KerasTensor, rounding: str, *, name: str
) -> KerasTensor:
    return MaxUnpooling2D(2, padding=PADDING_OF[rounding], name=name)(x, places, like=like)


def _dropout(
    x: KerasTensor, stage: int, *, rate: float | None, bayesian: bool, name: str
) -> KerasTensor:
    rate = (BAYESIAN_RATE if bayesian else 0.0) if rate is None else rate
    if stage < DROPOUT_FROM or not rate:
        return x
    return (MonteCarloDropout if bayesian else layers.Dropout)(rate, name=name)(x)


def _check_size(input_shape: ImageShape, rounding: str, stages: int) -> None:
    """Raises ValueError for an image that pooling with rounding down would shrink to nothing."""
    smallest = 2**stages
    sides = image_shape(input_shape)[:2]
    if rounding == "floor" and any(side is not None and side < smallest for side in sides):
        raise ValueError(
            f"With rounding='floor' the sides of input_shape must be at least {smallest} pixels, "
            f"so that one is left after {stages} poolings. Received: {tuple(input_shape)}. Use "
            "rounding='ceil' for smaller images."
        )
