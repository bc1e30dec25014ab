"""U-Net. Ronneberger, Fischer, Brox: U-Net: Convolutional Networks for Biomedical Image
Segmentation, MICCAI 2015, arXiv:1505.04597."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import keras
from keras import KerasTensor, layers

from keras_seg import blocks
from keras_seg.arguments import choice
from keras_seg.backbones.given import STRIDES, encoder_of
from keras_seg.layers import CropOrPad
from keras_seg.models.options import (
    Activation,
    BackboneOptions,
    BackbonePixels,
    Encoder,
    ImageShape,
    Share,
    StepWidths,
    Weights,
    at_least,
)
from keras_seg.models.registry import register
from keras_seg.models.variants import UNetVariant

WIDTHS = (64, 128, 256, 512, 1024)
BACKBONE_DECODER_WIDTHS = (256, 128, 64, 32, 16)


@register(
    "unet",
    title="U-Net",
    paper="arXiv:1505.04597",
    size_multiple=16,
    tiny={"widths": (4, 8, 8, 16, 16)},
)
def unet(
    input_shape: ImageShape = (None, None, 3),
    num_classes: int = 21,
    *,
    widths: Annotated[tuple[int, ...], at_least(2)] = WIDTHS,
    decoder_widths: StepWidths | None = None,
    padding: Literal["same", "valid"] = "same",
    upsampling: Literal["transposed", "bilinear", "nearest"] | None = None,
    dropout: Share | None = None,
    backbone: Encoder | None = None,
    backbone_weights: Weights | None = "imagenet",
    backbone_options: BackboneOptions | None = None,
    variant: UNetVariant | None = None,
    preprocessing: BackbonePixels | None = "backbone",
    activation: Activation | None = None,
    name: str = "unet",
) -> keras.Model:
    """U-Net with same padding, so that the mask has the size of the image; or the paper's own.

    Shapes: image (B, H, W, C) of pixels in 0..255, H and W multiples of 2^(len(widths) - 1), 16 by
    default, or any with a backbone → logits (B, H, W, num_classes). With padding="valid" H and W
    are 16k + 60 from 188 on, and the logits are those of the image without 92 pixels on each side.

    Args:
        widths: channels per resolution, the bridge last; as many resolutions as widths.
        decoder_widths: channels per step up, deepest first, each a number or a pair (middle,
            last). None: those of the resolution; with upsampling="bilinear" half as many after
            each step, so that both halves of the concatenated map have the same width. With a
            backbone there are five; n < 5 of them cut the encoder off at stride 2^n.
        padding: "same"; or "valid" for the paper's network: no padding, skips cropped, biases
            instead of batch norm, dropout of 0.5.
        upsampling: "transposed" (2x2 convolutions, as the paper), "bilinear", or with a backbone
            also "nearest". None: "transposed", with a backbone "nearest".
        dropout: rate at the end of the contracting path, after its two deepest resolutions.
        backbone: encoder, one of `keras_seg.backbones.list_backbones()`; a model of Keras
            Applications without its top, or of keras-hub; or a model of your own from an image to
            maps "stride_2", ..., "stride_32"; None for U-Net's own. A model decides the weights,
            and the input shape if its own is fixed. The decoder then has a fifth step, to the size
            of the image. Without a map of the encoder, a step has no skip.
        backbone_weights: "imagenet", a weights file, or None for random values.
        backbone_options: arguments of the encoder's own function, such as {"width": 32} of a
            ResNet.
        variant: details of published implementations, see `UNetVariant`.
        preprocessing: "backbone" for what the encoder's ImageNet weights were trained with; with
            a dict of maps for pixels as they are; the same as "unit" without a backbone. A model
            that does not show it is refused.

    Returns: a functional `keras.Model`.

    Raises: ValueError for a size that does not pass, or a wrong option.

    Example:

        model = keras_seg.models.unet((64, 64, 3), num_classes=2, widths=(8, 16, 32))

    Differs from the paper: by default padded convolutions, batch norm without convolution bias, no
    dropout.
    Source: milesial/Pytorch-UNet, which has these layer names; with a backbone
    segmentation_models.pytorch.
    """
    variant = variant or UNetVariant()
    if upsampling is None:
        upsampling = "transposed" if backbone is None else "nearest"
    _check(widths, decoder_widths, padding, upsampling, backbone, variant)
    norm = padding == "same" if variant.norm is None else variant.norm
    use_bias = not norm if variant.use_bias is None else variant.use_bias
    conv = partial(double_conv, norm=norm, use_bias=use_bias, padding=padding)
    if dropout is None:
        dropout = 0.5 if padding == "valid" else 0.0

    # Contracting path: U-Net's own, or an encoder.
    if backbone is None:
        if decoder_widths is None:
            widths, decoder_widths = _own_widths(widths, upsampling)
        image, x = blocks.image_input(
            input_shape,
            preprocessing="unit" if preprocessing == "backbone" else preprocessing,
            **({} if variant.any_size else _sizes(len(widths) - 1, padding)),
        )
        *skips, x = contracting_path(x, widths, conv, dropout=dropout)
    else:
        image, features = backbone_encoder(
            backbone,
            input_shape,
            preprocessing,
            weights=backbone_weights,
            **backbone_options or {},
        )
        decoder_widths = decoder_widths or BACKBONE_DECODER_WIDTHS
        *skips, x = features[: len(decoder_widths)]
        skips.insert(0, None)  # nothing at the size of the image
        if variant.centre:
            x = conv(x, x.shape[-1], name="centre")
        x = _dropout(x, dropout, name="dropout")

    # Expanding path.
    up = partial(
        step_up,
        conv=conv,
        upsample=partial(blocks.upsample, method=upsampling, grid=variant.resize_grid),
        crop=padding == "valid",
        pad=variant.any_size and backbone is None,
        concat=variant.concat,
    )
    for step, width in enumerate(decoder_widths, start=1):
        skip = skips.pop()
        # A backbone rounds sizes up: each step takes that of its skip, the last that of the image.
        like = None if backbone is None else skip if skips else image
        x = up(x, skip, width, like=like, name=f"up{step}")

    x = blocks.classifier(x, num_classes, kernel=variant.head_kernel, name="outc.conv")
    return keras.Model(image, blocks.output_scores(x, activation), name=name)


def contracting_path(
    x: KerasTensor, widths: Sequence[int], conv: Callable, *, dropout: float
) -> list[KerasTensor]:
    """Double convolutions with pooling between: (B, H, W, C) → the map of each resolution."""
    maps = []
    for level, width in enumerate(widths):
        if level:
            x = layers.MaxPooling2D(name=f"down{level}.maxpool_conv.0")(x)
        x = conv(x, width, name=f"down{level}.maxpool_conv.1" if level else "inc")
        if level >= len(widths) - 2:
            x = _dropout(x, dropout, name=f"down{level}.dropout")
        maps.append(x)
    return maps


def step_up(
    x: KerasTensor,
    skip: KerasTensor | None,
    width: int | tuple[int, int],
    *,
    conv: Callable,
    upsample: Callable,
    like: KerasTensor | None,
    crop: bool,
    pad: bool,
    concat: str,
    name: str,
) -> KerasTensor:
    """One step of the expanding path: (B, H, W, C) → (B, 2H, 2W, width).

    Args:
        skip: map of the contracting path; None for a step without.
        width: channels, or (channels after the first convolution, after the second).
        like: a tensor whose height and width the step takes; None to double them.
        crop: crop the skip to the size of the map.
        pad: pad the map to the size of the skip.
    """
    middle, width = width if isinstance(width, (tuple, list)) else (width, width)
    filters = width if skip is None else skip.shape[-1]
    x = upsample(x, filters=filters, like=like, name=f"{name}.up")
    if crop:
        skip = CropOrPad(name=f"{name}.crop")(skip, like=x)
    if pad:
        x = CropOrPad(name=f"{name}.pad")(x, like=skip)
    if skip is not None:
        pair = [skip, x] if concat == "up_last" else [x, skip]
        x = layers.Concatenate(name=f"{name}.concat")(pair)
    return conv(x, width, middle=middle, name=f"{name}.conv")


def double_conv(
    x: KerasTensor,
    width: int,
    *,
    middle: int | None = None,
    norm: bool = True,
    use_bias: bool = False,
    padding: str = "same",
    name: str,
) -> KerasTensor:
    """Two 3x3 convolutions with batch norm and ReLU: (B, H, W, C) → (B, H, W, width)."""
    for filters, (conv, bn) in ((middle or width, (0, 1)), (width, (3, 4))):
        x = blocks.conv_bn_act(
            x,
            filters,
            use_bias=use_bias,
            padding=padding,
            name=f"{name}.double_conv.{conv}",
            norm_name=f"{name}.double_conv.{bn}" if norm else None,
        )
    return x


def backbone_encoder(
    backbone: Encoder, input_shape: ImageShape, preprocessing: str | None, **options: Any
) -> tuple[KerasTensor, list[KerasTensor | None]]:
    """(image, maps at strides 2, 4, 8, 16 and 32) of an encoder; `options` of `encoder_of`.

    None for a map that the encoder does not have: some begin at stride 4.
    """
    encoder = encoder_of(backbone, input_shape, preprocessing=preprocessing, **options)
    return encoder.input, [encoder.output.get(f"stride_{stride}") for stride in STRIDES]


def check_decoder_widths(decoder_widths: Sequence) -> None:
    """Raises ValueError for fewer steps up than three, or more than an encoder has maps."""
    most = len(BACKBONE_DECODER_WIDTHS)
    if not 3 <= len(decoder_widths) <= most:
        raise ValueError(
            f"decoder_widths must have {most} entries, one per step up, or 3 or 4 for an encoder "
            f"that is cut off. Received: {decoder_widths}"
        )


def _dropout(x: KerasTensor, rate: float, *, name: str) -> KerasTensor:
    return layers.Dropout(rate, name=name)(x) if rate else x


def _own_widths(widths: Sequence[int], upsampling: str) -> tuple[Sequence[int], tuple]:
    """(widths, decoder widths) of U-Net's own encoder.

    With bilinear up-sampling no transposed convolution halves the channels on the way up. Each step
    does instead, and the bridge has half its width.
    """
    *steps, bridge = widths
    if upsampling == "transposed":
        return widths, tuple(reversed(steps))
    halves = [(width, width // 2) for width in steps[:0:-1]]
    return (*steps, bridge // 2), (*halves, steps[0])


def _sizes(depth: int, padding: str) -> dict[str, int]:
    """Sizes that are even before each of `depth` poolings, as arguments of `image_input`."""
    multiple = 2**depth
    if padding == "same":
        return {"size_multiple": multiple}
    lost = 4 * (multiple - 1)  # pixels that the convolutions of one path remove, at full size
    deepest = lost // multiple + 1  # the smallest bridge that leaves pixels in the output
    return {
        "size_multiple": multiple,
        "size_offset": lost,
        "smallest_size": (deepest + 4) * multiple + lost,
    }


def _check(
    widths: Sequence[int],
    decoder_widths: Sequence | None,
    padding: str,
    upsampling: str,
    backbone: Encoder | None,
    variant: UNetVariant,
) -> None:
    """Raises ValueError for options that do not go together."""
    if backbone is not None:
        if padding == "valid" or tuple(widths) != WIDTHS:
            raise ValueError(
                "A backbone has its own padding and widths. Received: a backbone with "
                f"padding={padding!r}, widths={tuple(widths)}. Set decoder_widths."
            )
        check_decoder_widths(decoder_widths or BACKBONE_DECODER_WIDTHS)
    else:
        choice(upsampling, "upsampling", ("transposed", "bilinear"))
        if variant.centre:
            raise ValueError("centre=True needs a backbone. Received: none. Set widths instead.")
        if decoder_widths is not None and len(decoder_widths) != len(widths) - 1:
            raise ValueError(
                f"decoder_widths must have {len(widths) - 1} entries, one per step up. Received: "
                f"{decoder_widths}"
            )
    if upsampling == "bilinear" and decoder_widths is None and any(w % 2 for w in widths):
        raise ValueError(
            f"upsampling='bilinear' halves the widths, so they must be even. Received: {widths}"
        )
