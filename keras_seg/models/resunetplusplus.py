"""ResUNet++. Jha, Smedsrud, Riegler, Johansen, de Lange, Halvorsen, Johansen: ResUNet++: An
Advanced Architecture for Medical Image Segmentation, ISM 2019, arXiv:1911.07067."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Literal

import keras
from keras import KerasTensor, layers

from keras_seg import blocks
from keras_seg.models.options import Activation, Count, Counts, ImageShape, Pixels, at_least
from keras_seg.models.registry import register
from keras_seg.models.resunet import residual_units
from keras_seg.models.variants import ResUNetPlusPlusVariant

WIDTHS = (16, 32, 64, 128, 256)
ASPP_RATES = (1, 6, 12, 18)


@register(
    "resunetplusplus",
    title="ResUNet++",
    paper="arXiv:1911.07067",
    size_multiple=8,
    tiny={"widths": (4, 4, 8, 8, 8), "squeeze_ratio": 1, "aspp_rates": (1, 6)},
)
def resunetplusplus(
    input_shape: ImageShape = (None, None, 3),
    num_classes: int = 21,
    *,
    widths: Annotated[tuple[int, ...], at_least(3)] = WIDTHS,
    upsampling: Literal["nearest", "bilinear", "transposed"] = "nearest",
    squeeze_ratio: Count = 8,
    aspp_rates: Counts = ASPP_RATES,
    variant: ResUNetPlusPlusVariant | None = None,
    preprocessing: Pixels | None = "unit",
    activation: Activation | None = None,
    name: str = "resunetplusplus",
) -> keras.Model:
    """ResUNet++: residual units with squeeze-and-excitation, attention gates, ASPP at both ends.

    Shapes: image (B, H, W, C) of pixels in 0..255, H and W multiples of 2^(len(widths) - 2), 8 by
    default → logits (B, H, W, num_classes).

    Args:
        widths: channels per resolution, then those of the bridge, which has the last resolution.
        upsampling: "nearest", "bilinear" or "transposed" (2x2 convolutions, as many channels).
        squeeze_ratio: channels / hidden units of the squeeze-and-excitation.
        aspp_rates: dilations of the 3x3 branches of the ASPP, in the order of their names.
        variant: details of published implementations, see `ResUNetPlusPlusVariant`.

    Returns: a functional `keras.Model`.

    Raises: ValueError for a size that is not a multiple, or a wrong option.

    Example:

        model = keras_seg.models.resunetplusplus(
            (64, 64, 3), num_classes=2, widths=(8, 8, 16, 32)
        )

    Differs from the paper: no difference is known. As in the authors' code, the attention has no
    sigmoid, so that logits of an untrained network can be large.
    Source: DebeshJha/ResUNetPlusPlus, whose PyTorch code has these layer names.
    """
    variant = variant or ResUNetPlusPlusVariant()
    epsilon = variant.batch_norm_epsilon
    stem, unit = residual_units(variant)
    squeezed = partial(squeezed_unit, place=variant.squeeze_excite, ratio=squeeze_ratio)
    pyramid = partial(aspp, rates=aspp_rates, merge=variant.aspp_merge, epsilon=epsilon)
    gate = partial(blocks.attention_gate, single=variant.attention == "single", epsilon=epsilon)
    upsample = partial(blocks.upsample, method=upsampling, grid=variant.resize_grid)
    image, x = blocks.image_input(
        input_shape, preprocessing=preprocessing, size_multiple=2 ** (len(widths) - 2)
    )

    # Encoder: a stem that takes the image itself, then strided units.
    x = squeezed(x, widths[0], unit=stem, name="c1")
    skips = [x]
    for level, width in enumerate(widths[1:-1], start=2):
        x = squeezed(x, width, unit=unit, stride=2, name=f"c{level}")
        skips.append(x)
    skips.pop()

    x = pyramid(x, widths[-1], name="b1")

    # Decoder: each skip first gates the map from below, then joins it.
    for step, width in enumerate(reversed(widths[1:-1]), start=1):
        skip = skips.pop()
        x = gate(x, skip, name=f"d{step}.a1")
        x = upsample(x, filters=x.shape[-1], name=f"d{step}.up")
        x = layers.Concatenate(name=f"d{step}.concat")([x, skip])
        x = squeezed(x, width, unit=unit, name=f"d{step}.r1")

    x = pyramid(x, widths[0], name="aspp")
    x = blocks.classifier(x, num_classes, name="output")
    return keras.Model(image, blocks.output_scores(x, activation), name=name)


def squeezed_unit(
    x: KerasTensor,
    filters: int,
    *,
    unit: Callable,
    stride: int = 1,
    place: str,
    ratio: int,
    name: str,
) -> KerasTensor:
    """Residual unit with squeeze-and-excitation; the stem, c1, has none before it."""
    squeeze = partial(blocks.squeeze_excite, ratio=ratio, name=f"{name}.attn.net")
    if (place == "before" and name != "c1") or (place == "before_strided" and stride > 1):
        x = squeeze(x)
    x = unit(x, filters, stride=stride, main=f"{name}.c1", shortcut=f"{name}.c2")
    return squeeze(x) if place == "after" else x


def aspp(
    x: KerasTensor, filters: int, *, rates: Sequence[int], merge: str, epsilon: float, name: str
) -> KerasTensor:
    """Parallel dilated 3x3 convolutions, merged by a 1x1: (B, H, W, C) → (B, H, W, filters)."""
    branches = []
    for i, rate in enumerate(rates, start=1):
        branch = f"{name}.c{i}"
        y = blocks.conv2d(x, filters, dilation=rate, use_bias=True, name=f"{branch}.0")
        if merge == "concat":
            y = layers.ReLU(name=f"{branch}.act")(y)
        branches.append(blocks.batch_norm(y, epsilon=epsilon, name=f"{branch}.1"))
    join = layers.Add if merge == "sum" else layers.Concatenate
    x = join(name=f"{name}.{merge}")(branches)
    return blocks.conv2d(x, filters, kernel=1, use_bias=True, name=f"{name}.c{len(rates) + 1}")
