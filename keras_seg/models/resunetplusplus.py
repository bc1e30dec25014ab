"""ResUNet++. Jha, Smedsrud, Riegler, Johansen, de Lange, Halvorsen, Johansen: ResUNet++: An
Advanced Architecture for Medical Image Segmentation, ISM 2019, arXiv:1911.07067."""

from __future__ import annotations

from functools import partial

import keras
from keras import layers

from keras_seg import blocks
from keras_seg.models.registry import register
from keras_seg.models.resunet import PADDINGS, SHORTCUT_NORMS, UPSAMPLINGS

WIDTHS = (16, 32, 64, 128, 256)
SQUEEZE_PLACES = ("after", "before", "before_strided")
ATTENTIONS = ("channels", "single")
ASPP_RATES = (1, 6, 12, 18)
ASPP_MERGES = ("sum", "concat")


@register(
    "resunetplusplus",
    title="ResUNet++",
    paper="arXiv:1911.07067",
    size_multiple=8,
    tiny={"widths": (4, 4, 8, 8, 8), "squeeze_ratio": 1, "aspp_rates": (1, 6)},
)
def resunetplusplus(
    input_shape=(None, None, 3),
    num_classes: int = 21,
    *,
    widths: tuple[int, ...] = WIDTHS,
    upsampling: str = "nearest",
    resize_grid: str = "half_pixel",
    shortcut_kernel: int = 1,
    shortcut_norm: str = "all",
    squeeze_excite: str = "after",
    squeeze_ratio: int = 8,
    attention: str = "channels",
    aspp_rates: tuple[int, ...] = ASPP_RATES,
    aspp_merge: str = "sum",
    padding: str = "same",
    batch_norm_epsilon: float = blocks.BATCH_NORM_EPSILON,
    preprocessing: str | None = "unit",
    activation: str | None = None,
    name: str = "resunetplusplus",
) -> keras.Model:
    """ResUNet++: residual units with squeeze-and-excitation, attention gates, ASPP at both ends.

    Shapes: image (B, H, W, C) of pixels in 0..255, H and W multiples of 2^(len(widths) - 2), 8 by
    default → logits (B, H, W, num_classes).

    Args:
        widths: channels of each resolution, then those of the bridge, which has the last
            resolution too.
        upsampling, resize_grid, shortcut_kernel, shortcut_norm, padding, batch_norm_epsilon: see
            `resunet`.
        squeeze_excite: "after" every unit, "before" every unit but the first, or "before_strided"
            units only.
        squeeze_ratio: channels / hidden units of the squeeze-and-excitation.
        attention: factors of the attention gates: one for each of the "channels", or a "single".
        aspp_rates: dilations of the 3x3 branches of the ASPP, in the order of their names.
        aspp_merge: "sum" of (convolution, norm), or "concat" of (convolution, ReLU, norm).

    Differs from the paper: nothing known; wired as the authors' own code, whose attention has no
    sigmoid, so that logits of an untrained network can be large.
    Layer names are those of the authors' PyTorch code (DebeshJha/ResUNetPlusPlus).
    Raises: ValueError for a size that is no multiple, or an unknown option.
    """
    blocks.check_classes(num_classes, activation)
    blocks.check_widths(widths, at_least=3)
    blocks.check_choice("upsampling", upsampling, UPSAMPLINGS)
    blocks.check_choice("shortcut_kernel", shortcut_kernel, (1, 3))
    blocks.check_choice("shortcut_norm", shortcut_norm, SHORTCUT_NORMS)
    blocks.check_choice("squeeze_excite", squeeze_excite, SQUEEZE_PLACES)
    blocks.check_choice("attention", attention, ATTENTIONS)
    blocks.check_choice("aspp_merge", aspp_merge, ASPP_MERGES)
    blocks.check_choice("padding", padding, PADDINGS)
    residual = partial(
        blocks.residual_unit,
        shortcut_kernel=shortcut_kernel,
        shortcut_norm=shortcut_norm != "none",
        padding=padding,
        epsilon=batch_norm_epsilon,
    )
    stem = partial(residual, preactivation=False, shortcut_norm=shortcut_norm == "all")
    squeezed = partial(squeezed_unit, place=squeeze_excite, ratio=squeeze_ratio)
    pyramid = partial(aspp, rates=aspp_rates, merge=aspp_merge, epsilon=batch_norm_epsilon)
    upsample = partial(blocks.upsample, method=upsampling, grid=resize_grid)
    image, x = blocks.image_input(
        input_shape, preprocessing=preprocessing, size_multiple=2 ** (len(widths) - 2)
    )

    # Encoder: a stem that takes the image itself, then strided units.
    x = squeezed(x, widths[0], unit=stem, name="c1")
    skips = [x]
    for level, width in enumerate(widths[1:-1], start=2):
        x = squeezed(x, width, unit=residual, stride=2, name=f"c{level}")
        skips.append(x)
    skips.pop()

    x = pyramid(x, widths[-1], name="b1")

    # Decoder: each skip first gates what comes from below, then joins it.
    for step, width in enumerate(reversed(widths[1:-1]), start=1):
        skip = skips.pop()
        x = blocks.attention_gate(
            x,
            skip,
            single=attention == "single",
            epsilon=batch_norm_epsilon,
            name=f"d{step}.a1",
        )
        x = upsample(x, filters=x.shape[-1], name=f"d{step}.up")
        x = layers.Concatenate(name=f"d{step}.concat")([x, skip])
        x = squeezed(x, width, unit=residual, name=f"d{step}.r1")

    x = pyramid(x, widths[0], name="aspp")
    x = blocks.classifier(x, num_classes, name="output")
    return keras.Model(image, blocks.output_scores(x, activation), name=name)


def squeezed_unit(x, filters: int, *, unit, stride: int = 1, place: str, ratio: int, name: str):
    """Residual unit with squeeze-and-excitation at its place; the stem, c1, has none before it."""
    squeeze = partial(blocks.squeeze_excite, ratio=ratio, name=f"{name}.attn.net")
    if (place == "before" and name != "c1") or (place == "before_strided" and stride > 1):
        x = squeeze(x)
    x = unit(x, filters, stride=stride, main=f"{name}.c1", shortcut=f"{name}.c2")
    return squeeze(x) if place == "after" else x


def aspp(x, filters: int, *, rates, merge: str, epsilon: float, name: str):
    """Dilated 3x3 convolutions side by side, merged by a 1x1: (B, H, W, C) → (B, H, W, filters)."""
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
