"""U-Net++. Zhou, Siddiquee, Tajbakhsh, Liang: UNet++: A Nested U-Net Architecture for Medical Image
Segmentation, DLMIA 2018, arXiv:1807.10165; Redesigning Skip Connections to Exploit Multiscale
Features in Image Segmentation, IEEE TMI 2020, arXiv:1912.05074."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import keras
from keras import layers

from keras_seg import blocks
from keras_seg.models.inference_form import changed_copy
from keras_seg.models.registry import register
from keras_seg.models.unet import BACKBONE_DECODER_WIDTHS, backbone_encoder, check_decoder_widths

WIDTHS = (32, 64, 128, 256, 512)
UPSAMPLINGS = ("transposed", "bilinear", "nearest")
CONCATS = ("up_first", "up_last", "up_first_newest_first")


@register(
    "unetplusplus",
    title="U-Net++",
    paper="arXiv:1807.10165",
    size_multiple=16,
    tiny={"widths": (4, 8, 8, 16, 16)},
)
def unetplusplus(
    input_shape=(None, None, 3),
    num_classes: int = 21,
    *,
    widths: tuple[int, ...] = WIDTHS,
    upsampling: str | None = None,
    resize_grid: str = "half_pixel",
    concat: str = "up_first",
    norm: bool | None = None,
    use_bias: bool | None = None,
    dropout: float | None = None,
    head_kernel: int = 1,
    deep_supervision: bool = False,
    backbone: str | keras.Model | None = None,
    backbone_weights: str | None = "imagenet",
    backbone_options: Mapping | None = None,
    decoder_widths: tuple[int, ...] = BACKBONE_DECODER_WIDTHS,
    preprocessing: str | None = "backbone",
    activation: str | None = None,
    name: str = "unetplusplus",
) -> keras.Model:
    """U-Net++: between encoder and decoder every skip is a row of densely connected nodes.

    Node x(i, j) in row i (0 at the size of the image) and column j (0 the encoder) is two
    convolutions on all nodes of its row before it and on the up-sampled x(i + 1, j - 1).

    Shapes: image (B, H, W, C) of pixels in 0..255, H and W multiples of 2^(len(widths) - 1), 16 by
    default, or any with a backbone → logits (B, H, W, num_classes); with `deep_supervision` a dict
    of "logits" and "logits_1" ... "logits_4", the heads on x(0, 1) ... x(0, 4), where "logits" is
    the last. Train all heads on the same mask; `models.prune` cuts a model down to one of them.

    Args:
        widths: channels of each row; as many rows as widths.
        upsampling: "transposed" (2x2 convolutions; default), "bilinear" or "nearest" (default with
            a backbone).
        resize_grid: of the up-sampling by resizing, see `keras_seg.layers.Resize`.
        concat: order of the maps before a node. "up_first": up-sampled, x(i, 0), x(i, 1), ...;
            "up_last": x(i, 0), x(i, 1), ..., up-sampled; "up_first_newest_first": up-sampled, ...,
            x(i, 1), x(i, 0).
        norm, use_bias: batch norm after, and bias in, the 3x3 convolutions. None: bias alone, with
            a backbone norm alone.
        dropout: rate after every convolution of a node. None: 0.5, with norm 0.
        head_kernel: size of the last convolution.
        deep_supervision: a head on every node of the first row; not with a backbone, whose first
            row is at half the size of the image.
        backbone: encoder whose maps at strides 2 to 32 are column 0, as in `keras_seg.models.unet`;
            None for five double convolutions.
        backbone_weights: "imagenet", a weights file, or None for random values.
        backbone_options: arguments of the encoder's own function, such as {"width": 32} of a
            ResNet.
        decoder_widths: with a backbone, channels of the last node of each row, deepest first, and
            of the step to the size of the image, or of two where the encoder begins at stride
            4. Other nodes have those of the encoder's row. n of them take the encoder no deeper
            than to stride 2^n.
        preprocessing: "backbone" for what the encoder's ImageNet weights were trained with, "unit"
            without a backbone.

    Differs from the paper: nothing in the forward pass of the authors' Keras code (MrGiovanni/
    UNetPlusPlus) but the sigmoid, which is left to the loss; no L2 penalty. With a backbone equal
    to the network of segmentation_models.pytorch. Layer names are those of
    4uiiurz1/pytorch-nested-unet.
    Raises: ValueError for a size that does not pass, or an unknown option.
    """
    blocks.check_classes(num_classes, activation)
    if upsampling is None:
        upsampling = "transposed" if backbone is None else "nearest"
    _check(widths, decoder_widths, upsampling, concat, backbone, deep_supervision)
    norm = backbone is not None if norm is None else norm
    node = partial(
        nested_node,
        norm=norm,
        use_bias=not norm if use_bias is None else use_bias,
        dropout=(0.0 if norm else 0.5) if dropout is None else dropout,
    )
    up = partial(blocks.upsample, method=upsampling, grid=resize_grid)

    if backbone is not None:
        image, column = backbone_encoder(
            backbone,
            input_shape,
            preprocessing,
            weights=backbone_weights,
            **backbone_options or {},
        )
        column = [x for x in column[: len(decoder_widths)] if x is not None]
        widths = [x.shape[-1] for x in column]
        last_widths = decoder_widths
    else:
        image, x = blocks.image_input(
            input_shape,
            preprocessing="unit" if preprocessing == "backbone" else preprocessing,
            size_multiple=2 ** (len(widths) - 1),
        )
        column = encoder(x, widths, node)
        last_widths = widths[-2::-1]

    # Columns of nested nodes, each a row shorter than the one before.
    rows = [[x] for x in column]
    for j in range(1, len(rows)):
        for i in range(len(rows) - j):
            deeper = up(
                rows[i + 1][j - 1],
                filters=widths[i],
                like=None if backbone is None else rows[i][0],
                name=f"conv{i}_{j}.up",
            )
            x = layers.Concatenate(name=f"conv{i}_{j}.concat")(_ordered(rows[i], deeper, concat))
            width = last_widths[j - 1] if i + j == len(rows) - 1 else widths[i]
            rows[i].append(node(x, width, name=f"conv{i}_{j}"))

    head = partial(blocks.classifier, num_classes=num_classes, kernel=head_kernel)
    if deep_supervision:
        outputs = {
            f"logits_{j}": blocks.output_scores(
                head(x, name=f"final{j}"), activation, name=f"logits_{j}"
            )
            for j, x in enumerate(rows[0][1:], start=1)
        }
        return keras.Model(image, {"logits": outputs[f"logits_{j}"]} | outputs, name=name)
    x = rows[0][-1]
    if backbone is not None:
        for step in range(len(rows) - 1, len(decoder_widths)):
            width, like = decoder_widths[step], image if step == len(decoder_widths) - 1 else None
            x = up(x, filters=width, like=like, name=f"up{step + 1}.up")
            x = node(x, width, name=f"up{step + 1}")
    return keras.Model(image, blocks.output_scores(head(x, name="final"), activation), name=name)


def encoder(x, widths, node) -> list:
    """Column 0: nodes with pooling between, (B, H, W, C) → the map of each row."""
    column = []
    for i, width in enumerate(widths):
        if i:
            x = layers.MaxPooling2D(name=f"conv{i}_0.pool")(x)
        x = node(x, width, name=f"conv{i}_0")
        column.append(x)
    return column


def nested_node(x, width: int, *, norm: bool, use_bias: bool, dropout: float, name: str):
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
    """The part of a U-Net++ with deep supervision that its head `level` needs, as a model.

    Its output is exactly "logits_<level>" of the whole model, whose weights it copies: the nodes
    that stay do not depend on those that go. It pools `level` times, so H and W need only be
    multiples of 2^level.

    Raises: ValueError if the model has no such head.
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


def _heads(model):
    return [*model.output] if isinstance(model.output, dict) else []


def _ordered(row, deeper, concat):
    if concat == "up_last":
        return [*row, deeper]
    return [deeper, *(row if concat == "up_first" else reversed(row))]


def _check(widths, decoder_widths, upsampling, concat, backbone, deep_supervision):
    blocks.check_widths(widths, 2)
    blocks.check_choice("upsampling", upsampling, UPSAMPLINGS)
    blocks.check_choice("concat", concat, CONCATS)
    if backbone is not None and (deep_supervision or tuple(widths) != WIDTHS):
        raise ValueError(
            "A backbone has its own widths, and no deep supervision. Received: a backbone with "
            f"widths={tuple(widths)}, deep_supervision={deep_supervision}. Set decoder_widths."
        )
    check_decoder_widths(decoder_widths)
