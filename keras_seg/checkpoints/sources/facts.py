"""What several sources read off a checkpoint, and words that they share."""

from __future__ import annotations

import keras

from keras_seg import backbones
from keras_seg.backbones.resnet import BLOCKS, BOTTLENECK_FROM
from keras_seg.checkpoints.registry import Shapes


def resnet_name(shapes: Shapes) -> str:
    """ "resnet50" for tensors `layer1.0.conv1.weight`, .... of its shapes.

    Of an encoder that was cut off it is the shallowest ResNet that begins so.
    Raises: ValueError if no ResNet has as many blocks.
    """
    counts = tuple(
        len({name.split(".")[1] for name in shapes if name.startswith(f"layer{stage}.")})
        for stage in (1, 2, 3, 4)
        if f"layer{stage}.0.conv1.weight" in shapes
    )
    bottleneck = "layer1.0.conv3.weight" in shapes
    for depth, blocks in BLOCKS.items():
        # 34 and 50 have as many blocks, of two or three convolutions
        if counts and blocks[: len(counts)] == counts and bottleneck == (depth >= BOTTLENECK_FROM):
            return f"resnet{depth}"
    raise ValueError(
        f"No ResNet has {counts} blocks in its stages. Received tensors of another encoder."
    )


def resnet_encoder(shapes: Shapes, input_shape, **options) -> keras.Model:
    """The ResNet that these tensors belong to; options as for `keras_seg.backbones.build`."""
    width = shapes["layer1.0.conv1.weight"][0]
    return backbones.build(resnet_name(shapes), input_shape, width=width, **options)


def with_grid(options: dict, *, align_corners: bool) -> dict:
    """The option `align_corners` of repositories in our words, with the repository's default."""
    options = dict(options)
    align_corners = options.pop("align_corners", align_corners)
    return {"resize_grid": "align_corners" if align_corners else "half_pixel"} | options
