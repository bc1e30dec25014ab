"""U-Net. Ronneberger, Fischer, Brox: U-Net: Convolutional Networks for Biomedical Image
Segmentation, MICCAI 2015, arXiv:1505.04597."""

from __future__ import annotations

import keras
from keras import layers

from keras_seg import blocks
from keras_seg.layers import Resize
from keras_seg.models.registry import register

WIDTHS = (64, 128, 256, 512, 1024)
UPSAMPLINGS = ("transposed", "bilinear")


@register(
    "unet",
    title="U-Net",
    paper="arXiv:1505.04597",
    size_multiple=16,
    tiny={"widths": (4, 8, 8, 16, 16)},
)
def unet(
    input_shape=(None, None, 3),
    num_classes: int = 21,
    *,
    widths: tuple[int, ...] = WIDTHS,
    upsampling: str = "transposed",
    preprocessing: str | None = "unit",
    activation: str | None = None,
    name: str = "unet",
) -> keras.Model:
    """U-Net with same padding, so that the mask has the size of the image.

    Shapes: image (B, H, W, C) of pixels in 0..255, H and W multiples of 2^(len(widths) - 1), 16 by
    default → logits (B, H, W, num_classes).

    Args:
        widths: channels of each resolution, the bridge last; as many resolutions as widths.
        upsampling: "transposed" (2x2 convolutions, as the paper) or "bilinear" (half as many
            channels below each step, so that the concatenated map has the same width).

    Differs from the paper: padded convolutions, batch norm without convolution bias, no dropout.
    Equal in structure and layer names to the PyTorch network of milesial/Pytorch-UNet.
    Raises: ValueError for a size that is no multiple, or an unknown upsampling.
    """
    blocks.check_classes(num_classes, activation)
    _check(widths, upsampling)
    image, x = blocks.image_input(
        input_shape, preprocessing=preprocessing, size_multiple=2 ** (len(widths) - 1)
    )

    # Contracting path. With bilinear up-sampling no convolution halves the channels on the way up,
    # so the bridge has half its width already.
    *down_widths, bridge_width = widths
    if upsampling == "bilinear":
        bridge_width //= 2
    x = double_conv(x, down_widths[0], name="inc")
    skips = [x]
    for level, width in enumerate((*down_widths[1:], bridge_width), start=1):
        x = layers.MaxPooling2D(name=f"down{level}.maxpool_conv.0")(x)
        x = double_conv(x, width, name=f"down{level}.maxpool_conv.1")
        skips.append(x)

    # Expanding path.
    skips.pop()
    for step, width in enumerate(reversed(down_widths), start=1):
        up_name = f"up{step}.up"
        skip = skips.pop()
        if upsampling == "transposed":
            x = layers.Conv2DTranspose(
                width, 2, strides=2, kernel_initializer="he_normal", name=up_name
            )(x)
            middle = width
        else:
            x = Resize(2, name=up_name)(x)
            middle = (x.shape[-1] + skip.shape[-1]) // 2
            width = width // 2 if skips else width
        x = layers.Concatenate(name=f"up{step}.concat")([skip, x])
        x = double_conv(x, width, middle=middle, name=f"up{step}.conv")

    x = blocks.classifier(x, num_classes, name="outc.conv")
    return keras.Model(image, blocks.output_scores(x, activation), name=name)


def double_conv(x, width: int, *, middle: int | None = None, name: str):
    """Two 3x3 convolutions with batch norm and ReLU: (B, H, W, C) → (B, H, W, width)."""
    block = f"{name}.double_conv"
    x = blocks.conv_bn_act(x, middle or width, name=f"{block}.0", norm_name=f"{block}.1")
    return blocks.conv_bn_act(x, width, name=f"{block}.3", norm_name=f"{block}.4")


def _check(widths, upsampling):
    if len(widths) < 2 or any(not isinstance(w, int) or w < 1 for w in widths):
        raise ValueError(
            f"widths must be two or more whole numbers, one a resolution. Received: {tuple(widths)}"
        )
    if upsampling not in UPSAMPLINGS:
        raise ValueError(f"upsampling must be one of {UPSAMPLINGS}. Received: {upsampling!r}")
    if upsampling == "bilinear" and any(w % 2 for w in widths):
        raise ValueError(
            f"upsampling='bilinear' halves the widths, so they must be even. Received: {widths}"
        )
