"""What several sources share: the ResNet of some tensors, and the variant of a repository."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras

from keras_seg import backbones
from keras_seg.backbones.resnet import BLOCKS, BOTTLENECK_FROM
from keras_seg.checkpoints.registry import Shapes
from keras_seg.models.former_options import with_variant
from keras_seg.models.variants import Variant


def resnet_name(shapes: Shapes) -> str:
    """The name of the ResNet with these tensors, such as "resnet50".

    For an encoder that was cut off, the shallowest ResNet that begins with these blocks.

    Raises: ValueError if no ResNet has as many blocks.
    """
    counts = tuple(
        len({name.split(".")[1] for name in shapes if name.startswith(f"layer{stage}.")})
        for stage in (1, 2, 3, 4)
        if f"layer{stage}.0.conv1.weight" in shapes
    )
    bottleneck = "layer1.0.conv3.weight" in shapes
    for depth, blocks in BLOCKS.items():
        # 34 and 50 have the same numbers of blocks, which have two or three convolutions
        if counts and blocks[: len(counts)] == counts and bottleneck == (depth >= BOTTLENECK_FROM):
            return f"resnet{depth}"
    raise ValueError(
        f"No ResNet has {counts} blocks in its stages. Received: tensors of another encoder."
    )


def resnet_encoder(shapes: Shapes, input_shape: tuple, **options: Any) -> keras.Model:
    """The ResNet with these tensors; options as for `keras_seg.backbones.build`."""
    width = shapes["layer1.0.conv1.weight"][0]
    return backbones.build(resnet_name(shapes), input_shape, width=width, **options)


def grid_of(options: Mapping[str, Any], *, align_corners: bool) -> tuple[str, dict[str, Any]]:
    """(resize grid, other options): takes out the repositories' option `align_corners`.

    Args:
        align_corners: the repository's default.
    """
    rest = dict(options)
    aligned = rest.pop("align_corners", align_corners)
    return "align_corners" if aligned else "half_pixel", rest


def in_variant(
    network: str,
    variant: Variant,
    options: Mapping[str, Any],
    *,
    align_corners: bool | None = None,
) -> dict[str, Any]:
    """Options with the variant of a repository, changed by what the caller said.

    Args:
        network: name in the registry.
        variant: the repository's.
        options: options of the caller; a `variant` among them may be a mapping of the fields that
            differ.
        align_corners: the default of a repository that has an option of this name; it decides the
            variant's `resize_grid`.
    """
    if align_corners is not None:
        grid, options = grid_of(options, align_corners=align_corners)
        variant = replace(variant, resize_grid=grid)
    return {"variant": variant} | with_variant(network, type(variant), options, variant)
