"""ResUNet. Zhang, Liu, Wang: Road Extraction by Deep Residual U-Net, IEEE Geoscience and Remote
Sensing Letters 15(5), 2018, arXiv:1711.10684."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

import keras
from keras import layers

from keras_seg import blocks
from keras_seg.models.options import Activation, ImageShape, Pixels, at_least
from keras_seg.models.registry import register
from keras_seg.models.variants import ResUNetVariant

WIDTHS = (64, 128, 256, 512)


@register(
    "resunet",
    title="ResUNet",
    paper="arXiv:1711.10684",
    size_multiple=8,
    tiny={"widths": (4, 8, 8, 16)},
)
def resunet(
    input_shape: ImageShape = (None, None, 3),
    num_classes: int = 21,
    *,
    widths: Annotated[tuple[int, ...], at_least(2)] = WIDTHS,
    upsampling: Literal["nearest", "bilinear", "transposed"] = "nearest",
    variant: ResUNetVariant | None = None,
    preprocessing: Pixels | None = "unit",
    activation: Activation | None = None,
    name: str = "resunet",
) -> keras.Model:
    """ResUNet: a U-Net of full pre-activation residual units, seven levels and 15 convolutions.

    Shapes: image (B, H, W, C) of pixels in 0..255, H and W multiples of 2^(len(widths) - 1), 8 by
    default → logits (B, H, W, num_classes).

    Args:
        widths: channels per resolution, the bridge last; as many resolutions as widths.
        upsampling: "nearest", "bilinear" or "transposed" (2x2 convolutions, as many channels).
        variant: details of published implementations, see `ResUNetVariant`.

    Returns: a functional `keras.Model`.

    Raises: ValueError for a size that is not a multiple, or a wrong option.

    Example:

        model = keras_seg.models.resunet((64, 64, 3), num_classes=2, widths=(8, 16, 32))

    Differs from the paper: every shortcut has a convolution, also where an identity would fit, as
    in all published code. The paper does not say how it up-samples.
    Source: rishikksh20/ResUnet (core/res_unet.py), which has these layer names.
    """
    variant = variant or ResUNetVariant()
    stem, unit = residual_units(variant)
    image, x = blocks.image_input(
        input_shape, preprocessing=preprocessing, size_multiple=2 ** (len(widths) - 1)
    )

    # Encoder: strides instead of pooling. The first unit takes the image itself.
    x = stem(x, widths[0], main="input_layer", shortcut="input_skip")
    skips = [x]
    for level, width in enumerate(widths[1:-1], start=1):
        x = unit(x, width, stride=2, **_paths(f"residual_conv_{level}"))
        skips.append(x)
    x = unit(x, widths[-1], stride=2, **_paths("bridge"))

    # Decoder.
    upsample = partial(blocks.upsample, method=upsampling, grid=variant.resize_grid)
    for step, skip in enumerate(reversed(skips), start=1):
        x = upsample(x, filters=x.shape[-1], name=f"upsample_{step}.upsample")
        x = layers.Concatenate(name=f"concat_{step}")([x, skip])
        x = unit(x, skip.shape[-1], **_paths(f"up_residual_conv{step}"))

    x = blocks.classifier(x, num_classes, name="output_layer.0")
    return keras.Model(image, blocks.output_scores(x, activation), name=name)


def residual_units(variant: ResUNetVariant) -> tuple[Callable, Callable]:
    """(first unit, all other units) of a variant: `blocks.residual_unit` with its options."""
    unit = partial(
        blocks.residual_unit,
        shortcut_kernel=variant.shortcut_kernel,
        shortcut_norm=variant.shortcut_norm != "none",
        padding=variant.padding,
        epsilon=variant.batch_norm_epsilon,
    )
    stem = partial(unit, preactivation=False, shortcut_norm=variant.shortcut_norm == "all")
    return stem, unit


def _paths(name: str) -> dict[str, str]:
    """Names of the two paths of a unit in the reference."""
    return {"main": f"{name}.conv_block", "shortcut": f"{name}.conv_skip"}
