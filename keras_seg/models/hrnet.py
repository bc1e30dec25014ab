"""HRNet. Wang, Sun, Cheng, Jiang, Deng, Zhao, Liu, Mu, Tan, Wang, Liu, Xiao: Deep High-Resolution
Representation Learning for Visual Recognition, TPAMI 2020, arXiv:1908.07919."""

from __future__ import annotations

from typing import Literal

import keras
from keras import KerasTensor, layers

from keras_seg import backbones, blocks
from keras_seg.backbones.hrnet import HRNetVariant, hrnet_branches
from keras_seg.layers import Resize
from keras_seg.models.options import Activation, ImageShape, Pixels, Weights
from keras_seg.models.registry import register
from keras_seg.names import unknown_name

PYRAMID_CHANNELS = 256


@register(
    "hrnet",
    title="HRNet",
    paper="arXiv:1908.07919",
    tiny={
        "backbone": HRNetVariant(4, (1, 1, 1), blocks=1, stem_blocks=1, stem_width=8),
        "backbone_weights": None,
    },
)
def hrnet(
    input_shape: ImageShape = (None, None, 3),
    num_classes: int = 21,
    *,
    backbone: str | HRNetVariant = "hrnet_w48",
    backbone_weights: Weights | None = "imagenet",
    head: Literal["v1", "v2", "v2p"] = "v2",
    resize_grid: Literal["half_pixel", "align_corners"] = "half_pixel",
    preprocessing: Pixels | None = "imagenet",
    activation: Activation | None = None,
    upsample_logits: bool = True,
    name: str = "hrnet",
) -> keras.Model:
    """HRNet: four parallel resolutions from beginning to end, which exchange their maps repeatedly.

    Shapes: image (B, H, W, C) of pixels in 0..255, any H and W → logits (B, H, W, num_classes), or
    with `upsample_logits=False` (B, H/4, W/4, num_classes).

    Args:
        backbone: "hrnet_w18", "hrnet_w32", "hrnet_w48", ..., "hrnet_w18_small_v1" or "_v2", or the
            sizes of an HRNet of your own.
        backbone_weights: "imagenet", a weights file, or None for random values. The ImageNet
            networks were trained with "nearest" resizing; the authors start from them too.
        head: "v2" scores all four resolutions together (segmentation), "v1" the highest alone
            (keypoints), "v2p" makes a pyramid of the four for several levels (detection); its maps
            are the outputs of the layers "pyramid.0.act" to "pyramid.3.act".
        resize_grid: sampling grid of every resize: "half_pixel" as in the authors' branch
            pytorch-v1.1, or "align_corners" as in most networks of their branch HRNet-OCR.
        upsample_logits: False leaves the logits at stride 4.

    Returns: a functional `keras.Model`. With head "v2p" its output is a dict of "logits" and of
        "logits_8", "logits_16", "logits_32", the scores of the coarser levels, at the same size.

    Raises: ValueError for a wrong option; RuntimeError if weights cannot be downloaded.

    Example:

        model = keras_seg.models.hrnet(
            (64, 64, 3), num_classes=2, backbone="hrnet_w18_small_v1", backbone_weights=None
        )

    Differs from the paper: as in the authors' code, the convolution that mixes the resolutions has
    a bias, and batch norm and ReLU follow it. The logits have the size of the image.
    Source: HRNet/HRNet-Semantic-Segmentation, which has these layer names.
    """
    image, branches = hrnet_encoder(
        input_shape,
        backbone,
        weights=backbone_weights,
        resize_grid=resize_grid,
        preprocessing=preprocessing,
    )

    def finished(x: KerasTensor, name: str) -> KerasTensor:
        if upsample_logits:
            x = Resize(grid=resize_grid, name=f"{name}.upsample")(x, like=image)
        return blocks.output_scores(x, activation, name=name)

    if head == "v1":
        return keras.Model(
            image, finished(last_layer(branches[0], num_classes), "logits"), name=name
        )
    x = concat_branches(branches, resize_grid)
    if head == "v2":
        return keras.Model(image, finished(last_layer(x, num_classes), "logits"), name=name)
    scores = {
        "logits" if level == 0 else f"logits_{4 * 2**level}": blocks.classifier(
            x, num_classes, name=f"pyramid.{level}.score"
        )
        for level, x in enumerate(pyramid(x, PYRAMID_CHANNELS))
    }
    return keras.Model(image, {key: finished(x, key) for key, x in scores.items()}, name=name)


def hrnet_encoder(
    input_shape: ImageShape,
    backbone: str | HRNetVariant,
    *,
    weights: str | None,
    resize_grid: str,
    preprocessing: str | None,
) -> tuple[KerasTensor, list[KerasTensor]]:
    """(image, [branches at strides 4, 8, 16 and 32]) of an HRNet."""
    if isinstance(backbone, HRNetVariant):
        if weights is not None:
            raise ValueError(
                "An HRNet of your own sizes has no published weights. Received: "
                f"backbone_weights={weights!r}. Pass None."
            )
        image, x = blocks.image_input(input_shape, preprocessing=preprocessing)
        return image, hrnet_branches(x, backbone, resize=resize_grid)
    if not backbone.startswith("hrnet_"):
        known = [name for name in backbones.list_backbones() if name.startswith("hrnet_")]
        raise ValueError(unknown_name("backbone of HRNet", backbone, known))
    encoder = backbones.build(
        backbone, input_shape, weights=weights, preprocessing=preprocessing, resize=resize_grid
    )
    return encoder.input, [encoder.output[f"stride_{stride}"] for stride in (4, 8, 16, 32)]


def concat_branches(branches: list[KerasTensor], resize_grid: str) -> KerasTensor:
    """All branches at the size of the first: [(B, H/4, W/4, C), ...] → (B, H/4, W/4, 15 C)."""
    high = branches[0]
    resized = [
        Resize(grid=resize_grid, name=f"aggregate.{i}.resize")(branch, like=high)
        for i, branch in enumerate(branches[1:], start=1)
    ]
    return layers.Concatenate(name="aggregate.concat")([high, *resized])


def last_layer(x: KerasTensor, num_classes: int) -> KerasTensor:
    """Mixes the channels and scores every pixel: (B, H, W, C) → (B, H, W, num_classes)."""
    x = blocks.conv_bn_act(
        x, x.shape[-1], kernel=1, use_bias=True, name="last_layer.0", norm_name="last_layer.1"
    )
    return blocks.classifier(x, num_classes, name="last_layer.3")


def pyramid(x: KerasTensor, channels: int) -> list[KerasTensor]:
    """HRNetV2p: (B, H, W, C) → four maps of `channels`, each half the size of the one before."""
    x = blocks.conv_bn_act(x, channels, kernel=1, name="reduction", norm_name="reduction_bn")
    levels = []
    for level in range(4):
        size = 2**level
        pooled = (
            layers.AveragePooling2D(size, padding="same", name=f"pyramid.{level}.pool")(x)
            if level
            else x
        )
        levels.append(
            blocks.conv_bn_act(
                pooled, channels, name=f"pyramid.{level}", norm_name=f"pyramid.{level}_bn"
            )
        )
    return levels
