"""U-Net++. Zhou, Siddiquee, Tajbakhsh, Liang: UNet++: A Nested U-Net Architecture for Medical Image
Segmentation, DLMIA 2018, arXiv:1807.10165; Redesigning Skip Connections to Exploit Multiscale
Features in Image Segmentation, IEEE TMI 2020, arXiv:1912.05074."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Literal

import keras
from keras import KerasTensor, layers

from keras_seg import blocks
from keras_seg.models.inference_form import changed_copy
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
from keras_seg.models.unet import BACKBONE_DECODER_WIDTHS, backbone_encoder, check_decoder_widths
from keras_seg.models.variants import UNetPlusPlusVariant

WIDTHS = (32, 64, 128, 256, 512)


@register(
    "unetplusplus",
    title="U-Net++",
    paper="arXiv:1807.10165",
    size_multiple=16,
    tiny={"widths": (4, 8, 8, 16, 16)},
)
def unetplusplus(
    input_shape: ImageShape = (None, None, 3),
    num_classes: int = 21,
    *,
    widths: Annotated[tuple[int, ...], at_least(2)] = WIDTHS,
    upsampling: Literal["transposed", "bilinear", "nearest"] | None = None,
    dropout: Share | None = None,
    deep_supervision: bool = False,
    backbone: Encoder | None = None,
    backbone_weights: Weights | None = "imagenet",
    backbone_options: BackboneOptions | None = None,
    decoder_widths: StepWidths = BACKBONE_DECODER_WIDTHS,
    variant: UNetPlusPlusVariant | None = None,
    preprocessing: BackbonePixels | None = "backbone",
    activation: Activation | None = None,
    name: str = "unetplusplus",
) -> keras.Model:
    """U-Net++: between encoder and decoder every skip is a row of densely connected nodes.

    Node x(i, j) in row i (0 at the size of the image) and column j (0 the encoder) is two
    convolutions on all earlier nodes of its row and on the up-sampled x(i + 1, j - 1).

    Shapes: image (B, H, W, C) of pixels in 0..255, H and W multiples of 2^(len(widths) - 1), 16 by
    default, or any with a backbone → logits (B, H, W, num_classes).

    Args:
        widths: channels per row; as many rows as widths.
        upsampling: "transposed" (2x2 convolutions), "bilinear" or "nearest". None: "transposed",
            with a backbone "nearest".
        dropout: rate after every convolution of a node. None: 0.5, or 0 with batch norm.
        deep_supervision: a head on every node of the first row; not with a backbone, whose first
            row has half the size of the image. Train all heads on the same mask;
            `models.prune` cuts a model down to one of them.
        backbone: encoder whose maps at strides 2 to 32 are column 0, as in
            `keras_seg.models.unet`; None for five double convolutions.
        backbone_weights: "imagenet", a weights file, or None for random values.
        backbone_options: arguments of the encoder's own function, such as {"width": 32} of a
            ResNet.
        decoder_widths: with a backbone, channels of the last node of each row, deepest first, and
            of the step to the size of the image, or of two steps where the encoder begins at
            stride 4. Other nodes have those of the encoder's row. n < 5 widths cut the encoder
            off at stride 2^n.
        variant: details of published implementations, see `UNetPlusPlusVariant`.
        preprocessing: "backbone" for what the encoder's ImageNet weights were trained with; the
            same as "unit" without a backbone.

    Returns: a functional `keras.Model`. With `deep_supervision` its output is a dict of "logits"
        and "logits_1" ... "logits_4", the heads on x(0, 1) ... x(0, 4); "logits" is the last.

    Raises: ValueError for a size that does not pass, or a wrong option.

    Example:

        model = keras_seg.models.unetplusplus((64, 64, 3), num_classes=2, widths=(8, 16, 32))

    Differs from the paper: in the forward pass, the sigmoid of the authors' Keras code
    (MrGiovanni/UNetPlusPlus) is left to the loss; no L2 penalty.
    Source: 4uiiurz1/pytorch-nested-unet, which has these layer names; with a backbone
    segmentation_models.pytorch.
    """
    variant = variant or UNetPlusPlusVariant()
    if upsampling is None:
        upsampling = "transposed" if backbone is None else "nearest"
    _check(widths, decoder_widths, backbone, deep_supervision)
    norm = backbone is not None if variant.norm is None else variant.norm
    node = partial(
        nested_node,
        norm=norm,
        use_bias=not norm if variant.use_bias is None else variant.use_bias,
        dropout=(0.0 if norm else 0.5) if dropout is None else dropout,
    )
    up = partial(blocks.upsample, method=upsampling, grid=variant.resize_grid)

    # Column 0: U-Net++'s own encoder, or a backbone.
    if backbone is None:
        image, x = blocks.image_input(
            input_shape,
            preprocessing="unit" if preprocessing == "backbone" else preprocessing,
            size_multiple=2 ** (len(widths) - 1),
        )
        column = encoder(x, widths, node)
        last_widths = widths[-2::-1]
    else:
        image, features = backbone_encoder(
            backbone,
            input_shape,
            preprocessing,
            weights=backbone_weights,
            **backbone_options or {},
        )
        column = [x for x in features[: len(decoder_widths)] if x is not None]
        last_widths = decoder_widths
    rows = nested_rows(column, last_widths, node, up, variant.concat, fit=backbone is not None)

    head = partial(blocks.classifier, num_classes=num_classes, kernel=variant.head_kernel)
    if deep_supervision:
        outputs = {
            f"logits_{j}": blocks.output_scores(
                head(x, name=f"final{j}"), activation, name=f"logits_{j}"
            )
            for j, x in enumerate(rows[0][1:], start=1)
        }
        last = outputs[f"logits_{len(outputs)}"]
        return keras.Model(image, {"logits": last} | outputs, name=name)

    x = rows[0][-1]
    if backbone is not None:
        for step in range(len(rows) - 1, len(decoder_widths)):
            width, like = decoder_widths[step], image if step == len(decoder_widths) - 1 else None
            x = up(x, filters=width, like=like, name=f"up{step + 1}.up")
            x = node(x, width, name=f"up{step + 1}")
    return keras.Model(image, blocks.output_scores(head(x, name="final"), activation), name=name)


def nested_rows(
    column: list[KerasTensor],
    last_widths: Sequence[int],
    node: Callable,
    up: Callable,
    concat: str,
    *,
    fit: bool,
) -> list[list[KerasTensor]]:
    """All nodes, row by row. Each column is a row shorter than the one before.

    Args:
        column: column 0, from the finest map to the coarsest.
        last_widths: channels of the last node of each row, deepest first.
        concat: order of the maps before a node, see `UNetPlusPlusVariant`.
        fit: give an up-sampled map the exact size of its row, since the encoder rounds sizes.
    """
    rows = [[x] for x in column]
    for j in range(1, len(rows)):
        for i in range(len(rows) - j):
            width = column[i].shape[-1]
            deeper = up(
                rows[i + 1][j - 1],
                filters=width,
                like=rows[i][0] if fit else None,
                name=f"conv{i}_{j}.up",
            )
            x = layers.Concatenate(name=f"conv{i}_{j}.concat")(_ordered(rows[i], deeper, concat))
            if i + j == len(rows) - 1:
                width = last_widths[j - 1]
            rows[i].append(node(x, width, name=f"conv{i}_{j}"))
    return rows


def encoder(x: KerasTensor, widths: Sequence[int], node: Callable) -> list[KerasTensor]:
    """Column 0: nodes with pooling between, (B, H, W, C) → the map of each row."""
    column = []
    for i, width in enumerate(widths):
        if i:
            x = layers.MaxPooling2D(name=f"conv{i}_0.pool")(x)
        x = node(x, width, name=f"conv{i}_0")
        column.append(x)
    return column


def nested_node(
    x: KerasTensor, width: int, *, norm: bool, use_bias: bool, dropout: float, name: str
) -> KerasTensor:
    """Two 3x3 convolutions, each with ReLU and dropout: (B, H, W, C) → (B, H, W, width)."""
    for k in (1, 2):
        x = blocks.conv_bn_act(
            x,
            width,
            use_bias=use_bias,
            name=f"{name}.conv{k}",
            norm_name=f"{name}.bn{k}" if norm else None,
        )
        if dropout:
            x = layers.Dropout(dropout, name=f"{name}.dropout{k}")(x)
    return x


def prune(model: keras.Model, level: int) -> keras.Model:
    """Cuts a U-Net++ with deep supervision down to what its head `level` needs.

    The weights are copied. The result gives exactly "logits_<level>" of the whole model. It pools
    `level` times, so H and W need only be multiples of 2^level.

    Args:
        model: built with `deep_supervision=True`.
        level: number of the head, from 1.

    Returns: a functional `keras.Model`.

    Raises: ValueError if the model has no such head.

    Example:

        model = keras_seg.models.unetplusplus(
            (64, 64, 3), num_classes=2, widths=(8, 16, 32), deep_supervision=True
        )
        small = keras_seg.models.prune(model, level=1)
    """
    heads = [key for key in _heads(model) if key != "logits"]
    if not heads:
        raise ValueError(
            f"prune needs the heads of a U-Net++ built with deep_supervision=True. Received: "
            f"{model.name!r} with one output."
        )
    if f"logits_{level}" not in heads:
        raise ValueError(f"level must be 1 to {len(heads)}. Received: {level!r}")
    return changed_copy(
        keras.Model(model.input, model.output[f"logits_{level}"], name=f"{model.name}_l{level}"),
        {
            f"logits_{level}": {"name": "logits"},
            "size_guard": {"multiple": 2**level, "smallest": 2**level},
        },
    )


def _heads(model: keras.Model) -> list[str]:
    return [*model.output] if isinstance(model.output, dict) else []


def _ordered(row: list[KerasTensor], deeper: KerasTensor, concat: str) -> list[KerasTensor]:
    if concat == "up_last":
        return [*row, deeper]
    return [deeper, *(row if concat == "up_first" else reversed(row))]


def _check(
    widths: Sequence[int],
    decoder_widths: Sequence[int],
    backbone: Encoder | None,
    deep_supervision: bool,
) -> None:
    """Raises ValueError for options that do not go together."""
    if backbone is not None and (deep_supervision or tuple(widths) != WIDTHS):
        raise ValueError(
            "A backbone has its own widths, and no deep supervision. Received: a backbone with "
            f"widths={tuple(widths)}, deep_supervision={deep_supervision}. Set decoder_widths."
        )
    check_decoder_widths(decoder_widths)
