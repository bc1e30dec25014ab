"""OCR. Yuan, Chen, Wang: Object-Contextual Representations for Semantic Segmentation, ECCV 2020,
arXiv:1909.11065."""

from __future__ import annotations

from functools import partial

import keras
import numpy as np
from keras import layers

from keras_seg import backbones, blocks
from keras_seg.backbones.hrnet import HRNetVariant
from keras_seg.backbones.resnet import stage_dilations
from keras_seg.layers import ObjectAttention, ObjectRegions, Resize
from keras_seg.models.hrnet import concat_branches, hrnet_encoder
from keras_seg.models.registry import register
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
    input_shape=(None, None, 3),
    num_classes: int = 21,
    *,
    backbone: str | HRNetVariant = "hrnet_w48",
    backbone_weights: str | None = "imagenet",
    backbone_width: int = 64,
    mid_channels: int = 512,
    key_channels: int = 256,
    auxiliary_head: bool = False,
    auxiliary_channels: int | None = None,
    auxiliary_kernel: int | None = None,
    transform_bias: bool = False,
    negative_slope: float = 0.0,
    dropout: float = 0.05,
    pyramid_rates: tuple[int, ...] | None = None,
    output_stride: int = 8,
    multi_grid: tuple[int, ...] | None = None,
    deep_stem: str | None = None,
    ceil_pool: bool = False,
    resize_grid: str = "align_corners",
    preprocessing: str | None = "imagenet",
    activation: str | None = None,
    upsample_logits: bool = True,
    name: str = "ocrnet",
) -> keras.Model:
    """OCR: every pixel asks the objects of the image, one vector a class, what it belongs to.

    Shapes: image (B, H, W, C) of pixels in 0..255, any H and W → logits (B, H, W, num_classes), or
    with `upsample_logits=False` at the stride of the encoder: 4 on HRNet, 8 on ResNet. With
    `auxiliary_head` a dict of "logits" and "aux", the scores of the soft object regions.

    Args:
        backbone: an HRNet as in `keras_seg.models.hrnet`, or "resnet50", "resnet101",
            "resnet101c", ....
        backbone_weights: "imagenet", a weights file, or None for random values.
        mid_channels, key_channels: width of the features and of queries, keys and values; the
            authors advise 256 and 128 for small encoders.
        auxiliary_head: also return the regions' scores, whose loss (weight 0.4) makes objects of
            the regions; train with it.
        auxiliary_channels, auxiliary_kernel: of the convolution before these scores; None for the
            authors' choice: as many as it gets and 1x1 on HRNet, `mid_channels` and 3x3 on ResNet.
        transform_bias: whether the 1x1 convolutions of the attention have a bias.
        negative_slope: of the ReLUs behind the encoder; 0.01 in networks of InPlaceABN.
        dropout: share of channels dropped before the scores.
        pyramid_rates: dilations of 3x3 convolutions of the encoder's map which, with a 1x1
            convolution of it, take the place of the features beside the context (ASP-OCR: 12, 24,
            36 at stride 8, with `mid_channels` 256, `key_channels` 128 and `dropout` 0.1).
        backbone_width, output_stride, deep_stem, ceil_pool: of a ResNet, see
            `keras_seg.backbones.resnet.resnet_maps`.
        multi_grid: factors on the dilations of the blocks of a ResNet's last stage.
        resize_grid: sampling grid of every resize, "align_corners" or "half_pixel".

    Differs from the paper: as in the authors' code, the products of queries and keys are divided
    by sqrt(key_channels), and the 3x3 convolution keeps a bias; logits at the size of the image.
    Equal in structure to HRNet/HRNet-Semantic-Segmentation, branch HRNet-OCR, whose layer names
    it has, and with other options to the SpatialOCRNet, ASPOCRNet and HRNet_W48_OCR of
    openseg.pytorch.
    Raises: ValueError for unknown options; RuntimeError if weights cannot be downloaded.
    """
    blocks.check_classes(num_classes, activation)
    transform = partial(_transform, negative_slope=negative_slope)
    options = {"weights": backbone_weights, "preprocessing": preprocessing}
    on_resnet = str(backbone).startswith("resnet")
    if on_resnet:
        options |= {"width": backbone_width, "deep_stem": deep_stem, "ceil_pool": ceil_pool}
        image, low, x = resnet_encoder(input_shape, backbone, output_stride, multi_grid, **options)
    else:
        check_hrnet(backbone, output_stride=output_stride, multi_grid=multi_grid, stem=deep_stem)
        image, branches = hrnet_encoder(input_shape, backbone, resize_grid=resize_grid, **options)
        low = x = concat_branches(branches, resize_grid)

    # Soft object regions: how much every pixel is of every class, at first sight.
    regions = object_regions(
        low,
        num_classes,
        channels=auxiliary_channels or (mid_channels if on_resnet else low.shape[-1]),
        kernel=auxiliary_kernel or (3 if on_resnet else 1),
        dropout=dropout if on_resnet else 0.0,
        transform=transform,
    )

    # Object region representations: one vector a class.
    encoded = x
    x = transform(
        x, mid_channels, kernel=3, use_bias=True, name="conv3x3_ocr.0", norm_name="conv3x3_ocr.1"
    )
    objects = ObjectRegions(name="ocr_gather_head")(x, regions)

    # Object-contextual representations: what a pixel hears from the objects, and itself.
    transform = partial(transform, use_bias=transform_bias)
    context = object_context(x, objects, key_channels, transform=transform)
    beside = [x]
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
            x = Resize(grid=resize_grid, name=f"{key}.upsample")(x, like=image)
        outputs[key] = blocks.output_scores(x, activation, name=key)
    return keras.Model(image, outputs if auxiliary_head else outputs["logits"], name=name)


def check_hrnet(backbone, *, output_stride: int, multi_grid, stem) -> None:
    """ValueError for an encoder that is none of OCR's, or one that options of a ResNet miss."""
    if isinstance(backbone, str) and not backbone.startswith("hrnet_"):
        known = [
            name for name in backbones.list_backbones() if name.startswith(("hrnet", "resnet"))
        ]
        raise ValueError(unknown_name("backbone of OCR", backbone, known))
    if (output_stride, multi_grid, stem) != (8, None, None):
        raise ValueError(
            "output_stride, multi_grid and deep_stem are for ResNets; an HRNet keeps stride 4. "
            f"Received: backbone={backbone!r} with output_stride={output_stride}, "
            f"multi_grid={multi_grid}, deep_stem={stem!r}. Leave them out."
        )


def resnet_encoder(input_shape, backbone: str, output_stride: int, multi_grid, **options):
    """(image, map of layer3, map of layer4) of a ResNet; `options` of `backbones.build`."""
    dilations = stage_dilations(backbones.find(backbone).facts["depth"], output_stride)
    if multi_grid is not None:
        if len(multi_grid) != len(dilations[-1]):
            raise ValueError(
                f"multi_grid needs a factor for each of the {len(dilations[-1])} blocks of layer4. "
                f"Received: {multi_grid}"
            )
        dilations[-1] = tuple(np.multiply(dilations[-1], multi_grid).tolist())
    if options["deep_stem"] is None:
        del options["deep_stem"]  # the name of the backbone says which
    encoder = backbones.build(
        backbone, input_shape, output_stride=output_stride, dilations=dilations, **options
    )
    return encoder.input, encoder.output["stride_16"], encoder.output["stride_32"]


def object_regions(x, num_classes: int, *, channels, kernel, dropout, transform):
    """Scores that a loss of their own makes regions of: (B, H, W, C) → (B, H, W, num_classes)."""
    x = transform(
        x, channels, kernel=kernel, use_bias=True, name="aux_head.0", norm_name="aux_head.1"
    )
    if dropout:
        x = layers.SpatialDropout2D(dropout, name="aux_head.2")(x)
    return blocks.classifier(x, num_classes, name="aux_head.3")


def object_context(pixels, objects, key_channels: int, *, transform):
    """What every pixel hears from the objects.

    Shapes: pixels (B, H, W, C), objects (B, K, 1, C) → (B, H, W, C).
    """
    name = "ocr_distri_head.object_context_block"

    def stack(x, part, *widths):
        path = f"{name}.{part}"
        for i, width in enumerate(widths):
            x = transform(x, width, name=f"{path}.{2 * i}", norm_name=f"{path}.{2 * i + 1}.0")
        return x

    queries = stack(pixels, "f_pixel", key_channels, key_channels)
    keys = stack(objects, "f_object", key_channels, key_channels)
    values = stack(objects, "f_down", key_channels)
    context = ObjectAttention(name=f"{name}.attention")(queries, keys, values)
    return stack(context, "f_up", pixels.shape[-1])


def pyramid(x, channels: int, rates: tuple[int, ...], *, transform) -> list:
    """A 1x1 convolution and one 3x3 for each dilation: (B, H, W, C) → [(B, H, W, channels), ...].

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


def _transform(x, filters, *, kernel=1, dilation=1, use_bias, negative_slope, name, norm_name):
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
