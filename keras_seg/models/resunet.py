"""ResUNet. Zhang, Liu, Wang: Road Extraction by Deep Residual U-Net, IEEE Geoscience and Remote
Sensing Letters 15(5), 2018, arXiv:1711.10684."""

from __future__ import annotations

from functools import partial

import keras
from keras import layers

from keras_seg import blocks
from keras_seg.models.registry import register

WIDTHS = (64, 128, 256, 512)
UPSAMPLINGS = ("nearest", "bilinear", "transposed")
SHORTCUT_NORMS = ("none", "units", "all")
PADDINGS = ("same", "keras_same")


@register(
    "resunet",
    title="ResUNet",
    paper="arXiv:1711.10684",
    size_multiple=8,
    tiny={"widths": (4, 8, 8, 16)},
)
def resunet(
    input_shape=(None, None, 3),
    num_classes: int = 21,
    *,
    widths: tuple[int, ...] = WIDTHS,
    upsampling: str = "nearest",
    resize_grid: str = "half_pixel",
    shortcut_kernel: int = 1,
    shortcut_norm: str = "none",
    padding: str = "same",
    batch_norm_epsilon: float = blocks.BATCH_NORM_EPSILON,
    preprocessing: str | None = "unit",
    activation: str | None = None,
    name: str = "resunet",
) -> keras.Model:
    """ResUNet: a U-Net of full pre-activation residual units, seven levels and 15 convolutions.

    Shapes: image (B, H, W, C) of pixels in 0..255, H and W multiples of 2^(len(widths) - 1), 8 by
    default → logits (B, H, W, num_classes).

    Args:
        widths: channels of each resolution, the bridge last; as many resolutions as widths.
        upsampling: "nearest", "bilinear" or "transposed" (2x2 convolutions, as many channels).
        resize_grid: of nearest and bilinear up-sampling, see `keras_seg.layers.Resize`.
        shortcut_kernel: 1, or 3 as in the network of rishikksh20/ResUnet.
        shortcut_norm: batch norm behind the shortcut convolution: in "none", in the "units", or in
            "all" of them, the first unit included.
        padding: of the 3x3 convolutions with stride 2: "same" on all sides, or "keras_same" for
            weights that Keras trained (one pixel below and to the right only).
        batch_norm_epsilon: 1e-5 as in PyTorch; Keras' own default is 1e-3.

    Differs from the paper: convolution of the shortcut in every unit, also where an identity would
    fit, as all published code has it; the paper does not say how it up-samples.
    Layer names are those of rishikksh20/ResUnet (core/res_unet.py).
    Raises: ValueError for a size that is no multiple, or an unknown option.
    """
    blocks.check_classes(num_classes, activation)
    blocks.check_widths(widths, at_least=2)
    blocks.check_choice("upsampling", upsampling, UPSAMPLINGS)
    blocks.check_choice("shortcut_kernel", shortcut_kernel, (1, 3))
    blocks.check_choice("shortcut_norm", shortcut_norm, SHORTCUT_NORMS)
    blocks.check_choice("padding", padding, PADDINGS)
    residual = partial(
        blocks.residual_unit,
        shortcut_kernel=shortcut_kernel,
        shortcut_norm=shortcut_norm != "none",
        padding=padding,
        epsilon=batch_norm_epsilon,
    )
    upsample = partial(blocks.upsample, method=upsampling, grid=resize_grid)
    image, x = blocks.image_input(
        input_shape, preprocessing=preprocessing, size_multiple=2 ** (len(widths) - 1)
    )

    # Encoder: strides instead of pooling. The first unit takes the image itself.
    stem = partial(residual, preactivation=False, shortcut_norm=shortcut_norm == "all")
    x = stem(x, widths[0], main="input_layer", shortcut="input_skip")
    skips = [x]
    for level, width in enumerate(widths[1:-1], start=1):
        x = residual(x, width, stride=2, **_paths(f"residual_conv_{level}"))
        skips.append(x)
    x = residual(x, widths[-1], stride=2, **_paths("bridge"))

    # Decoder.
    for step, skip in enumerate(reversed(skips), start=1):
        x = upsample(x, filters=x.shape[-1], name=f"upsample_{step}.upsample")
        x = layers.Concatenate(name=f"concat_{step}")([x, skip])
        x = residual(x, skip.shape[-1], **_paths(f"up_residual_conv{step}"))

    x = blocks.classifier(x, num_classes, name="output_layer.0")
    return keras.Model(image, blocks.output_scores(x, activation), name=name)


def _paths(name: str) -> dict[str, str]:
    """Names of the two paths of a unit in the reference."""
    return {"main": f"{name}.conv_block", "shortcut": f"{name}.conv_skip"}
