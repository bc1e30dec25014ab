"""OCR. Yuan, Chen, Wang: Object-Contextual Representations for Semantic Segmentation, ECCV 2020,
arXiv:1909.11065."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, layers

from keras_seg import backbones, blocks
from keras_seg.backbones.hrnet import HRNetVariant
from keras_seg.backbones.resnet import stage_dilations
from keras_seg.layers import ObjectAttention, ObjectRegions, Resize
from keras_seg.models.hrnet import concat_branches, hrnet_encoder
from keras_seg.models.options import (
    Activation,
    Count,
    Counts,
    ImageShape,
    OutputStride,
    Pixels,
    Share,
    Weights,
)
from keras_seg.models.registry import register
from keras_seg.models.variants import OCRNetVariant
from keras_seg.names import unknown_name


@register(
    "ocrnet",
    title="OCRNet",
    paper="arXiv:1909.11065",
    tiny={
        "backbone": HRNetVariant(4, (1, 1, 1), blocks=1, stem_blocks=1, stem_width=8),
        "backbone_weights": None,
        "mid_channels": 16,
        "key_channels": 8,
    },
)
def ocrnet(
    input_shape: ImageShape = (None, None, 3),
    num_classes: int = 21,
    *,
    backbone: str | HRNetVariant = "hrnet_w48",
    backbone_weights: Weights | None = "imagenet",
    mid_channels: Count = 512,
    key_channels: Count = 256,
    auxiliary_head: bool = False,
    dropout: Share = 0.05,
    pyramid_rates: Counts | None = None,
    output_stride: OutputStride = 8,
    variant: OCRNetVariant | None = None,
    preprocessing: Pixels | None = "imagenet",
    activation: Activation | None = None,
    upsample_logits: bool = True,
    name: str = "ocrnet",
) -> keras.Model:
    """OCR: every pixel attends to the objects of the image, which are one vector per class.

    Shapes: image (B, H, W, C) of pixels in 0..255, any H and W → logits (B, H, W, num_classes), or
    with `upsample_logits=False` at the stride of the encoder: 4 on HRNet, 8 on ResNet.

    Args:
        backbone: an HRNet as in `keras_seg.models.hrnet`, or "resnet50", "resnet101",
            "resnet101c", ....
        backbone_weights: "imagenet", a weights file, or None for random values.
        mid_channels: width of the features; the authors advise 256 for small encoders.
        key_channels: width of queries, keys and values; 128 for small encoders.
        auxiliary_head: also return the regions' scores. Their loss (weight 0.4) makes the
            regions represent objects; train with it.
        dropout: share of channels dropped before the scores.
        pyramid_rates: ASP-OCR: dilations of 3x3 convolutions of the encoder's map which, with a
            1x1 convolution, replace the features beside the context (12, 24, 36 at stride 8, with
            `mid_channels` 256, `key_channels` 128 and `dropout` 0.1).
        output_stride: input size / size of the last map of a ResNet: 8, 16 or 32.
        variant: details of published implementations, and options of a ResNet, see
            `OCRNetVariant`.
        upsample_logits: False leaves the logits at the stride of the encoder.

    Returns: a functional `keras.Model`. With `auxiliary_head` its output is a dict of "logits" and
        "aux", the scores of the soft object regions.

    Raises: ValueError for a wrong option; RuntimeError if weights cannot be downloaded.

    Example:

        model = keras_seg.models.ocrnet(
            (64, 64, 3),
            num_classes=2,
            backbone="resnet18",
            backbone_weights=None,
            mid_channels=32,
            key_channels=16,
        )

    Differs from the paper: as in the authors' code, the products of queries and keys are divided
    by sqrt(key_channels), and the 3x3 convolution keeps a bias. The logits have the size of the
    image.
    Source: HRNet/HRNet-Semantic-Segmentation, branch HRNet-OCR, which has these layer names; with
    other options SpatialOCRNet, ASPOCRNet and HRNet_W48_OCR of openseg.pytorch.
    """
    variant = variant or OCRNetVariant()
    transform = partial(conv_norm_relu, negative_slope=variant.negative_slope)
    encoder = resnet_encoder if str(backbone).startswith("resnet") else hrnet_features
    image, middle, encoded = encoder(
        input_shape,
        backbone,
        output_stride,
        variant,
        weights=backbone_weights,
        preprocessing=preprocessing,
    )

    # Soft object regions: a first score per pixel and class.
    on_resnet = encoder is resnet_encoder
    regions = object_regions(
        middle,
        num_classes,
        channels=variant.auxiliary_channels or (mid_channels if on_resnet else middle.shape[-1]),
        kernel=variant.auxiliary_kernel or (3 if on_resnet else 1),
        dropout=dropout if on_resnet else 0.0,
        transform=transform,
    )

    # Object region representations: one vector per class.
    pixels = transform(
        encoded,
        mid_channels,
        kernel=3,
        use_bias=True,
        name="conv3x3_ocr.0",
        norm_name="conv3x3_ocr.1",
    )
    objects = ObjectRegions(name="ocr_gather_head")(pixels, regions)

    # Object-contextual representations: each pixel's context, beside its own features.
    transform = partial(transform, use_bias=variant.transform_bias)
    context = object_context(pixels, objects, key_channels, transform=transform)
    beside = [pixels]
    if pyramid_rates:
        beside = pyramid(encoded, mid_channels, pyramid_rates, transform=transform)
    x = layers.Concatenate(name="ocr_distri_head.concat")([context, *beside])
    mixed = "ocr_distri_head.conv_bn_dropout"
    x = transform(x, mid_channels, name=f"{mixed}.0", norm_name=f"{mixed}.1.0")
    x = layers.SpatialDropout2D(dropout, name=f"{mixed}.2")(x)

    outputs = {"logits": blocks.classifier(x, num_classes, name="cls_head")}
    if auxiliary_head:
        outputs["aux"] = regions
    for key, x in outputs.items():
        if upsample_logits:
            x = Resize(grid=variant.resize_grid, name=f"{key}.upsample")(x, like=image)
        outputs[key] = blocks.output_scores(x, activation, name=key)
    return keras.Model(image, outputs if auxiliary_head else outputs["logits"], name=name)


def hrnet_features(
    input_shape: ImageShape,
    backbone: str | HRNetVariant,
    output_stride: int,
    variant: OCRNetVariant,
    **options: Any,
) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
    """(image, x, x) of an HRNet, where x is all its branches: regions and pixels share the map.

    Raises: ValueError for an encoder that OCR does not have, and for options of a ResNet.
    """
    if isinstance(backbone, str) and not backbone.startswith("hrnet_"):
        known = [
            name for name in backbones.list_backbones() if name.startswith(("hrnet", "resnet"))
        ]
        raise ValueError(unknown_name("backbone of OCR", backbone, known))
    if (output_stride, variant.multi_grid, variant.deep_stem) != (8, None, None):
        raise ValueError(
            "output_stride, multi_grid and deep_stem are for ResNets; an HRNet keeps stride 4. "
            f"Received: backbone={backbone!r} with output_stride={output_stride}, "
            f"multi_grid={variant.multi_grid}, deep_stem={variant.deep_stem!r}. Leave them out."
        )
    grid = variant.resize_grid
    image, branches = hrnet_encoder(input_shape, backbone, resize_grid=grid, **options)
    x = concat_branches(branches, grid)
    return image, x, x


def resnet_encoder(
    input_shape: ImageShape,
    backbone: str,
    output_stride: int,
    variant: OCRNetVariant,
    **options: Any,
) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
    """(image, map of layer3, map of layer4) of a ResNet; `options` of `backbones.build`."""
    dilations = stage_dilations(backbones.find(backbone).facts["depth"], output_stride)
    if variant.multi_grid is not None:
        if len(variant.multi_grid) != len(dilations[-1]):
            raise ValueError(
                f"multi_grid needs a factor for each of the {len(dilations[-1])} blocks of layer4. "
                f"Received: {variant.multi_grid}"
            )
        dilations[-1] = tuple(np.multiply(dilations[-1], variant.multi_grid).tolist())
    if variant.deep_stem is not None:  # otherwise the name of the backbone says which stem
        options["deep_stem"] = variant.deep_stem
    encoder = backbones.build(
        backbone,
        input_shape,
        output_stride=output_stride,
        dilations=dilations,
        width=variant.backbone_width,
        ceil_pool=variant.ceil_pool,
        **options,
    )
    return encoder.input, encoder.output["stride_16"], encoder.output["stride_32"]


def object_regions(
    x: KerasTensor,
    num_classes: int,
    *,
    channels: int,
    kernel: int,
    dropout: float,
    transform: Callable,
) -> KerasTensor:
    """Scores that become regions by an auxiliary loss: (B, H, W, C) → (B, H, W, num_classes)."""
    x = transform(
        x, channels, kernel=kernel, use_bias=True, name="aux_head.0", norm_name="aux_head.1"
    )
    if dropout:
        x = layers.SpatialDropout2D(dropout, name="aux_head.2")(x)
    return blocks.classifier(x, num_classes, name="aux_head.3")


def object_context(
    pixels: KerasTensor, objects: KerasTensor, key_channels: int, *, transform: Callable
) -> KerasTensor:
    """Attention of the pixels to the objects.

    Shapes: pixels (B, H, W, C), objects (B, K, 1, C) → (B, H, W, C).
    """
    name = "ocr_distri_head.object_context_block"

    def stack(x: KerasTensor, part: str, *widths: int) -> KerasTensor:
        path = f"{name}.{part}"
        for i, width in enumerate(widths):
            x = transform(x, width, name=f"{path}.{2 * i}", norm_name=f"{path}.{2 * i + 1}.0")
        return x

    queries = stack(pixels, "f_pixel", key_channels, key_channels)
    keys = stack(objects, "f_object", key_channels, key_channels)
    values = stack(objects, "f_down", key_channels)
    context = ObjectAttention(name=f"{name}.attention")(queries, keys, values)
    return stack(context, "f_up", pixels.shape[-1])


def pyramid(
    x: KerasTensor, channels: int, rates: Sequence[int], *, transform: Callable
) -> list[KerasTensor]:
    """A 1x1 convolution and one 3x3 per dilation: (B, H, W, C) → [(B, H, W, channels), ...].

    Layer names are those of openseg.pytorch, which counts them from 2, after the context.
    """
    convolutions = [(1, 1), *((3, rate) for rate in rates)]
    return [
        transform(
            x,
            channels,
            kernel=kernel,
            dilation=rate,
            name=f"asp_ocr_head.conv{i}.0",
            norm_name=f"asp_ocr_head.conv{i}.1",
        )
        for i, (kernel, rate) in enumerate(convolutions, start=2)
    ]


def conv_norm_relu(
    x: KerasTensor,
    filters: int,
    *,
    kernel: int = 1,
    dilation: int = 1,
    use_bias: bool,
    negative_slope: float,
    name: str,
    norm_name: str,
) -> KerasTensor:
    """Convolution, batch norm and (leaky) ReLU: (B, H, W, C) → (B, H, W, filters)."""
    x = blocks.conv_bn_act(
        x,
        filters,
        kernel=kernel,
        dilation=dilation,
        use_bias=use_bias,
        activation=None,
        name=name,
        norm_name=norm_name,
    )
    if negative_slope:
        return layers.LeakyReLU(negative_slope, name=f"{norm_name}.act")(x)
    return layers.ReLU(name=f"{norm_name}.act")(x)
