"""GridNet. Fourure, Emonet, Fromont, Muselet, Tremeau, Wolf: Residual Conv-Deconv Grid Network for
Semantic Segmentation, BMVC 2017, arXiv:1707.07958."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import keras
from keras import KerasTensor, layers

from keras_seg import blocks
from keras_seg.arguments import image_shape, is_count
from keras_seg.layers import CropOrPad, Resize, TotalDropout
from keras_seg.models.options import (
    Activation,
    Count,
    ImageShape,
    Pixels,
    Rule,
    Share,
)
from keras_seg.models.registry import register
from keras_seg.models.variants import GridNetVariant

FEATURES = (16, 32, 64, 128, 256)
Features = Annotated[
    int | tuple[int, ...],
    Rule(
        lambda v: is_count(v) or (isinstance(v, tuple | list) and v and all(map(is_count, v))),
        "a whole number from 1, or one per row",
    ),
]
Columns = Annotated[int, Rule(lambda v: is_count(v) and v % 2 == 0, "an even number from 2")]


@dataclass(frozen=True)
class Style:
    """What all blocks of one grid have in common, see `GridNetVariant`."""

    norm: bool
    nonlinearity: str
    use_bias: bool
    upsampling: str


@register(
    "gridnet",
    title="GridNet",
    paper="arXiv:1707.07958",
    size_multiple=16,
    # no dropout: a test asks for a gradient in every weight of a single step
    tiny={"features": (8, 8, 8, 16, 16), "columns": 2, "dropout": 0.0},
)
def gridnet(
    input_shape: ImageShape = (None, None, 3),
    num_classes: int = 21,
    *,
    rows: Count | None = None,
    columns: Columns = 6,
    features: Features = FEATURES,
    upsampling: Literal["transposed", "bilinear"] = "transposed",
    dropout: Share = 0.1,
    variant: GridNetVariant | None = None,
    preprocessing: Pixels | None = "unit",
    activation: Activation | None = None,
    name: str = "gridnet",
) -> keras.Model:
    """GridNet: parallel streams of falling resolution, joined downwards first, then upwards.

    Shapes: image (B, H, W, C) of pixels in 0..255, H and W multiples of 2^(rows - 1), 16 by default
    → logits (B, H, W, num_classes). With `upsampling="bilinear"` any H and W.

    Args:
        rows: number of streams; None for one per feature count (five if `features` is a number).
        columns: nodes per stream: an even number, half of them on the way down.
        features: channels per stream; or those of the first, which double from row to row.
        upsampling: "transposed" (3x3, stride 2) or "bilinear" before the block.
        dropout: probability that a lateral block is skipped in a training step, by TotalDropout.
        variant: details of published implementations, see `GridNetVariant`.

    Returns: a functional `keras.Model`.

    Raises: ValueError for a size that is not a multiple, or options that make no grid.

    Example:

        model = keras_seg.models.gridnet((64, 64, 3), num_classes=2, features=(8, 16), columns=4)

    Differs from the paper: 3x3 convolutions where the code has transposed ones of stride 1. They
    compute the same with a rotated kernel and are faster on devices.
    Source: Fourure/GridNet (GridNet.lua), daigo0927/GridNet and sniklaus/softmax-splatting.
    """
    variant = variant or GridNetVariant()
    features = _features(rows, features)
    style = Style(variant.norm, variant.nonlinearity, variant.use_bias, upsampling)

    if variant.stem == "rows":
        image, streams = row_inputs(input_shape, features, upsampling)
    else:
        multiple = 2 ** (len(features) - 1) if upsampling == "transposed" else 1
        image, x = blocks.image_input(
            input_shape, preprocessing=preprocessing, size_multiple=multiple
        )
        streams = [first(x, features[0], style, residual=variant.stem == "residual")]
        streams += [None] * (len(features) - 1)

    x = grid(streams, features, columns, style, dropout)[0]
    x = last(x, num_classes, style, variant.head)
    return keras.Model(image, blocks.output_scores(x, activation), name=name)


def grid(
    streams: list[KerasTensor | None],
    features: Sequence[int],
    columns: int,
    style: Style,
    dropout: float,
) -> list[KerasTensor]:
    """The streams after all columns. A stream without its own input begins as None."""
    half = columns // 2
    for column in range(half):  # way down: every row takes the new map of the row above
        for row, width in enumerate(features):
            parts = [streams[row]]
            if column > 0:
                parts.append(lateral(streams[row], style, dropout, f"lateral_{row}_{column - 1}"))
            if row > 0:
                down_name = f"down_{row - 1}_{column}"
                parts.append(block(streams[row - 1], width, style, stride=2, name=down_name))
            streams[row] = node(parts, row, column)
    for column in range(half, columns):  # way up: every row takes the new map of the row below
        for row, width in reversed(list(enumerate(features))):
            x = streams[row]
            parts = [x, lateral(x, style, dropout, f"lateral_{row}_{column - 1}")]
            if row < len(features) - 1:
                parts.append(up(streams[row + 1], x, width, style, name=f"up_{row}_{column}"))
            streams[row] = node(parts, row, column)
    return streams


def row_inputs(
    input_shape: Sequence, features: Sequence[int], upsampling: str
) -> tuple[list[KerasTensor], list[KerasTensor]]:
    """([input of each row], [tensor of each row]).

    Args:
        input_shape: a shape per row, or that of the first; the others have half the size each.
    """
    if all(isinstance(size, int) or size is None for size in input_shape):
        height, width, _ = image_shape(input_shape)
        shapes = []
        for channels in features:
            shapes.append((height, width, channels))
            height, width = (s and -(-s // 2) for s in (height, width))
    else:
        shapes = [image_shape(shape) for shape in input_shape]
    if tuple(shape[-1] for shape in shapes) != features:
        raise ValueError(
            "stem='rows' needs a feature map with the channels of each row. Received: input_shape="
            f"{shapes} for features={features}."
        )
    for above, below in pairwise(shapes):
        for size, half in zip(above[:2], below[:2], strict=True):
            odd = size and size % 2 and upsampling == "transposed"
            if size and half and (odd or half != -(-size // 2)):
                raise ValueError(
                    "stem='rows' needs input_shape to halve height and width from row to row, "
                    f"without a remainder if upsampling='transposed'. Received: {shapes}."
                )
    inputs = [keras.Input(shape, name=f"row{row}") for row, shape in enumerate(shapes)]
    return inputs, list(inputs)


def first(x: KerasTensor, width: int, style: Style, *, residual: bool) -> KerasTensor:
    """Image → row 0: two convolutions with norm and activation, or a residual block."""
    if residual:
        return residual_block(x, width, style, name="first")
    if style.norm:
        x = blocks.batch_norm(x, name="input_bn")
    for index in (0, 3):
        x = conv(x, width, style, name=f"first.{index}")
        x = norm_act(x, style, f"first.{index + 1}", f"first.{index + 2}")
    return x


def last(x: KerasTensor, num_classes: int, style: Style, head: str) -> KerasTensor:
    """Row 0 → scores. The plain head ends in a batch norm, as in the authors' code."""
    if head == "residual":
        return residual_block(x, num_classes, style, name="last")
    width = x.shape[-1] if head == "shortcut" else num_classes
    y = conv(x, width, style, name="last.0")
    y = norm_act(y, style, "last.1", "last.2")
    y = conv(y, num_classes, style, name="last.3")
    if head == "shortcut":
        return layers.Add(name="last.add")([y, projected(x, num_classes, style, 1, name="last")])
    return blocks.batch_norm(y, name="last.4") if style.norm else y


def lateral(x: KerasTensor, style: Style, dropout: float, name: str) -> KerasTensor:
    """The residual branch along a row."""
    x = block(x, x.shape[-1], style, name=name)
    return TotalDropout(dropout, name=f"{name}.6")(x)


def up(x: KerasTensor, like: KerasTensor, width: int, style: Style, *, name: str) -> KerasTensor:
    """The block to the row above, whose size it takes: an odd size crops the doubled map."""
    x = block(x, width, style, upward=True, name=name)
    if style.upsampling == "bilinear":
        x = CropOrPad("top_left", name=f"{name}.crop")(x, like=like)
    return x


def residual_block(x: KerasTensor, width: int, style: Style, *, name: str) -> KerasTensor:
    """A block beside a shortcut that is convolved where the width changes."""
    shortcut = projected(x, width, style, 3, name=name)
    return layers.Add(name=f"{name}.add")([block(x, width, style, name=name), shortcut])


def projected(x: KerasTensor, width: int, style: Style, kernel: int, *, name: str) -> KerasTensor:
    """The shortcut past a block: convolved where the width changes, else the identity."""
    if x.shape[-1] == width:
        return x
    return conv(x, width, style, kernel=kernel, name=f"{name}.shortcut")


def block(
    x: KerasTensor,
    width: int,
    style: Style,
    *,
    stride: int = 1,
    upward: bool = False,
    name: str,
) -> KerasTensor:
    """Norm, activation, 3x3 convolution, twice; the first convolution changes size and width."""
    if upward and style.upsampling == "bilinear":
        x = Resize(2, name=f"{name}.up")(x)
    x = norm_act(x, style, f"{name}.0", f"{name}.1")
    if upward and style.upsampling == "transposed":
        x = doubling_conv(x, width, style, name=f"{name}.2")
    else:
        x = conv(x, width, style, stride=stride, name=f"{name}.2")
    x = norm_act(x, style, f"{name}.3", f"{name}.4")
    return conv(x, width, style, name=f"{name}.5")


def doubling_conv(x: KerasTensor, width: int, style: Style, *, name: str) -> KerasTensor:
    """Transposed 3x3 convolution that doubles the size: stride 2, padding 1, output padding 1."""
    x = layers.Conv2DTranspose(
        width, 3, strides=2, use_bias=style.use_bias, kernel_initializer="he_normal", name=name
    )(x)
    # PyTorch's padding of 1 is a crop here; Keras' "same" would crop the other side
    return layers.Cropping2D(((1, 0), (1, 0)), name=f"{name}.crop")(x)


def conv(
    x: KerasTensor, width: int, style: Style, *, kernel: int = 3, stride: int = 1, name: str
) -> KerasTensor:
    """Convolution, with a bias if the style has one."""
    return blocks.conv2d(x, width, kernel=kernel, stride=stride, use_bias=style.use_bias, name=name)


def norm_act(x: KerasTensor, style: Style, norm_name: str, name: str) -> KerasTensor:
    """Batch norm, if the style has one, and activation."""
    if style.norm:
        x = blocks.batch_norm(x, name=norm_name)
    if style.nonlinearity == "relu":
        return layers.ReLU(name=name)(x)
    shared_axes = [1, 2] if style.nonlinearity == "prelu" else [1, 2, 3]
    return layers.PReLU(
        alpha_initializer=keras.initializers.Constant(0.25), shared_axes=shared_axes, name=name
    )(x)


def node(parts: list[KerasTensor | None], row: int, column: int) -> KerasTensor:
    """The sum of all maps that reach a node of the grid."""
    parts = [part for part in parts if part is not None]
    return parts[0] if len(parts) == 1 else layers.Add(name=f"node_{row}_{column}")(parts)


def _features(rows: int | None, features: int | Sequence[int]) -> tuple[int, ...]:
    """Channels per row; ValueError if their number contradicts `rows`."""
    if isinstance(features, int):
        features = tuple(features * 2**row for row in range(rows or len(FEATURES)))
    features = tuple(features)
    if rows is not None and rows != len(features):
        raise ValueError(
            f"rows and features must agree: one feature count per row. Received: rows={rows} and "
            f"features={features}"
        )
    return features
