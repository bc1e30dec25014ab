"""DeconvNet. Noh, Hong, Han: Learning Deconvolution Network for Semantic Segmentation, ICCV 2015,
arXiv:1505.04366."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import keras
from keras import KerasTensor, layers

from keras_seg import blocks
from keras_seg.backbones.vgg16_weights import VGG16_WIDTHS, check_vgg16, load_vgg16
from keras_seg.layers import MaxPoolingWithIndices2D, MaxUnpooling2D
from keras_seg.models.options import (
    Activation,
    CountOrZero,
    ImageShape,
    Pixels,
    StageWidths,
    Weights,
)
from keras_seg.models.registry import register

FC_KERNEL = 7
"""fc6 covers the whole map at stride 32 of the paper's 224-pixel image."""
SMALLEST_SIZE = 224


@register(
    "deconvnet",
    title="DeconvNet",
    paper="arXiv:1505.04366",
    tiny={"widths": ((4, 4), (4, 4), (8, 8, 8), (8, 8, 8), (8, 8, 8)), "fc": 0},
    int8_decibels=5.0,
)
def deconvnet(
    input_shape: ImageShape = (None, None, 3),
    num_classes: int = 21,
    *,
    widths: StageWidths = VGG16_WIDTHS,
    fc: CountOrZero = 4096,
    backbone_weights: Weights | None = None,
    preprocessing: Pixels | None = "unit",
    activation: Activation | None = None,
    name: str = "deconvnet",
) -> keras.Model:
    """DeconvNet: VGG16 with its fully connected layers, and the mirror image of all of it.

    Shapes: image (B, H, W, C) of pixels in 0..255, H and W at least 224, any with fc=0 → logits
    (B, H, W, num_classes).

    Args:
        widths: channels of the convolutions, a list per encoder stage. The decoder has them in the
            same order, except that the last of a stage has the channels of the next unpooling.
        fc: channels of fc6 and fc7; together with fc6-deconv they hold 88 % of all parameters. 0
            omits the three. The SegNet paper compares with 1024.
        backbone_weights: weights of VGG16 for the encoder's 3x3 convolutions: "imagenet", a file
            of `keras.applications.VGG16` without top, a file or mapping of torchvision's vgg16 or
            vgg16_bn (whose norms are loaded too), or None for random values. The first kernel is
            converted to the network's pixels and keeps its size, with which it learns.

    Returns: a functional `keras.Model`.

    Raises: ValueError for images that are too small, wrong options, and VGG16 weights with other
        widths or channels; RuntimeError if the weights cannot be downloaded.

    Example:

        model = keras_seg.models.deconvnet(
            (64, 64, 3), num_classes=2, widths=((8, 8), (16, 16)), fc=0
        )

    Differs from the paper: one pass over the whole image (the authors merge 50 object proposals,
    see `keras_seg.inference.predict_by_proposals`), batch norm with epsilon 1e-5 and running
    averages, fc6 and fc7 start from random values. Transposed 3x3 convolutions of stride 1 are
    plain convolutions here, which compute the same.
    Source: HyeonwooNoh/DeconvNet, which has these layer names.
    """
    image, x = blocks.image_input(
        input_shape, preprocessing=preprocessing, smallest_size=SMALLEST_SIZE if fc else None
    )
    if backbone_weights is not None:
        check_vgg16(widths, image.shape[-1])
    conv = partial(blocks.conv_bn_act, use_bias=True)

    # Convolution network.
    pooled = []  # per stage: the map before pooling, and the places of its maxima
    for stage, stage_widths in enumerate(widths, start=1):
        for i, width in enumerate(stage_widths, start=1):
            x = conv(x, width, name=f"conv{stage}_{i}", norm_name=f"bn{stage}_{i}")
        before, (x, places) = x, MaxPoolingWithIndices2D(2, name=f"pool{stage}")(x)
        pooled.append((before, places))

    if fc:
        x = fully_connected(x, fc, conv)

    # Deconvolution network.
    for stage, stage_widths in reversed([*enumerate(widths, start=1)]):
        before, places = pooled.pop()
        x = MaxUnpooling2D(2, name=f"unpool{stage}")(x, places, like=before)
        narrowed = (*stage_widths[:-1], widths[max(stage - 2, 0)][-1])
        for i, width in enumerate(narrowed, start=1):
            x = conv(x, width, name=f"deconv{stage}_{i}", norm_name=f"debn{stage}_{i}")

    x = blocks.classifier(x, num_classes, name="seg-score-voc")
    model = keras.Model(image, blocks.output_scores(x, activation), name=name)
    if backbone_weights is not None:
        load_vgg16(model, backbone_weights, preprocessing, norm_name="bn{}")
    return model


def fully_connected(x: KerasTensor, fc: int, conv: Callable) -> KerasTensor:
    """fc6 and fc7 as convolutions, and the way back: (B, h, w, C) → (B, h, w, C)."""
    channels = x.shape[-1]
    x = conv(x, fc, kernel=FC_KERNEL, padding="valid", name="fc6", norm_name="bnfc6")
    x = conv(x, fc, kernel=1, name="fc7", norm_name="bnfc7")
    x = layers.Conv2DTranspose(
        channels, FC_KERNEL, kernel_initializer="he_normal", name="fc6-deconv"
    )(x)
    x = blocks.batch_norm(x, name="fc6-deconv-bn")
    return layers.ReLU(name="fc6-deconv-bn.act")(x)
