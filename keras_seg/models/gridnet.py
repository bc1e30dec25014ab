"""GridNet. Fourure, Emonet, Fromont, Muselet, Tremeau, Wolf: Residual Conv-Deconv Grid Network for
Semantic Segmentation, BMVC 2017, arXiv:1707.07958."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import keras
from keras import layers

from keras_seg import blocks
from keras_seg.layers import CropOrPad, Resize, TotalDropout
from keras_seg.models.registry import register

FEATURES = (16, 32, 64, 128, 256)
NONLINEARITIES = ("relu", "prelu", "prelu_shared")
UPSAMPLINGS = ("transposed", "bilinear")
STEMS = ("plain", "residual", "rows")
HEADS = ("plain", "residual", "shortcut")


@dataclass(frozen=True)
class Style:
    """What all blocks of one grid have in common; see the arguments of `gridnet`."""

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
    input_shape=(None, None, 3),
    num_classes: int = 21,
    *,
    rows: int | None = None,
    columns: int = 6,
    features: int | tuple[int, ...] = FEATURES,
    norm: bool = True,
    nonlinearity: str = "relu",
    use_bias: bool = True,
    upsampling: str = "transposed",
    stem: str = "plain",
    head: str = "plain",
    dropout: float = 0.1,
    preprocessing: str | None = "unit",
    activation: str | None = None,
    name: str = "gridnet",
) -> keras.Model:
    """GridNet: streams of falling resolution side by side, joined downwards, then upwards.

    Shapes: image (B, H, W, C) of pixels in 0..255, H and W multiples of 2^(rows - 1), 16 by default
    → logits (B, H, W, num_classes). With `upsampling="bilinear"` any H and W.

    Args:
        rows: number of streams; None for one a feature count (five if `features` is one number).
        columns: nodes of each stream: an even number, half of them on the way down.
        features: channels of each stream, or of the first, from which they double row by row.
        norm: batch norm before every activation, and of the image and the scores.
        nonlinearity: "relu", "prelu" (a slope a channel) or "prelu_shared" (one slope a layer).
        use_bias: whether convolutions have a bias.
        upsampling: "transposed" (3x3, stride 2) or "bilinear" before the block.
        stem: "plain" (two convolutions), "residual" (a lateral block whose shortcut is a 3x3
            convolution where the width changes) or "rows": no stem, the network takes a list of
            feature maps, one a row (`input_shape` then is a list of shapes too, or the shape of
            the first).
        head: "plain" (two convolutions), "residual" as for the stem, or "shortcut"
            (convolution, activation, convolution beside a 1x1 convolution, which is left out if
            the row has as many channels as there are classes).
        dropout: probability that a lateral block is skipped in a training step, by TotalDropout.

    Differs from the paper: 3x3 convolutions where the code has transposed ones of stride 1, which
    compute the same with the kernel turned round and are faster on devices.
    Source: Fourure/GridNet (GridNet.lua), daigo0927/GridNet and sniklaus/softmax-splatting.
    Raises: ValueError for a size that is no multiple, or options that make no grid.
    """
    blocks.check_classes(num_classes, activation)
    features = _features(rows, features)
    _check(columns, nonlinearity, upsampling, stem, head)
    style = Style(norm, nonlinearity, use_bias, upsampling)

    if stem == "rows":
        image, streams = row_inputs(input_shape, features, upsampling)
    else:
        multiple = 2 ** (len(features) - 1) if upsampling == "transposed" else 1
        image, x = blocks.image_input(
            input_shape, preprocessing=preprocessing, size_multiple=multiple
        )
        streams = [first(x, features[0], style, residual=stem == "residual")]
        streams += [None] * (len(features) - 1)

    x = grid(streams, features, columns, style, dropout)[0]
    x = last(x, num_classes, style, head)
    return keras.Model(image, blocks.output_scores(x, activation), name=name)


def grid(streams, features, columns: int, style: Style, dropout: float):
    """The streams after all columns; on the way down those without an input start as None."""
    half = columns // 2
    for column in range(half):  # way down: every row takes what the row above has just become
        for row, width in enumerate(features):
            parts = [streams[row]]
            if column > 0:
                parts.append(lateral(streams[row], style, dropout, f"lateral_{row}_{column - 1}"))
            if row > 0:
                down_name = f"down_{row - 1}_{column}"
                parts.append(block(streams[row - 1], width, style, stride=2, name=down_name))
            streams[row] = node(parts, row, column)
    for column in range(half, columns):  # way up: what the row below has just become
        for row, width in reversed(list(enumerate(features))):
            x = streams[row]
            parts = [x, lateral(x, style, dropout, f"lateral_{row}_{column - 1}")]
            if row < len(features) - 1:
                parts.append(up(streams[row + 1], x, width, style, name=f"up_{row}_{column}"))
            streams[row] = node(parts, row, column)
    return streams


def row_inputs(input_shape, features, upsampling: str):
    """([input of each row], [tensor of each row]): rows without a shape of their own are halves."""
    if all(isinstance(size, int) or size is None for size in input_shape):
        height, width, _ = blocks.check_input_shape(input_shape)
        shapes = []
        for channels in features:
            shapes.append((height, width, channels))
            height, width = (s and -(-s // 2) for s in (height, width))
    else:
        shapes = [blocks.check_input_shape(shape) for shape in input_shape]
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


def first(x, width: int, style: Style, *, residual: bool):
    """Image → row 0: two convolutions with norm and activation, or a residual block."""
    if residual:
        return residual_block(x, width, style, name="first")
    if style.norm:
        x = blocks.batch_norm(x, name="input_bn")
    for index in (0, 3):
        x = conv(x, width, style, name=f"first.{index}")
        x = norm_act(x, style, f"first.{index + 1}", f"first.{index + 2}")
    return x


def last(x, num_classes: int, style: Style, head: str):
    """Row 0 → scores. The plain head ends in a norm: scores are normalised, as in the code."""
    if head == "residual":
        return residual_block(x, num_classes, style, name="last")
    width = x.shape[-1] if head == "shortcut" else num_classes
    y = conv(x, width, style, name="last.0")
    y = norm_act(y, style, "last.1", "last.2")
    y = conv(y, num_classes, style, name="last.3")
    if head == "shortcut":
        return layers.Add(name="last.add")([y, projected(x, num_classes, style, 1, name="last")])
    return blocks.batch_norm(y, name="last.4") if style.norm else y


def lateral(x, style: Style, dropout: float, name: str):
    """The residual branch along a row."""
    x = block(x, x.shape[-1], style, name=name)
    return TotalDropout(dropout, name=f"{name}.6")(x)


def up(x, like, width: int, style: Style, *, name: str):
    """The block to the row above, whose size it takes: an odd one lacks the doubled map's edge."""
    x = block(x, width, style, upward=True, name=name)
    if style.upsampling == "bilinear":
        x = CropOrPad("top_left", name=f"{name}.crop")(x, like=like)
    return x


def residual_block(x, width: int, style: Style, *, name: str):
    shortcut = projected(x, width, style, 3, name=name)
    return layers.Add(name=f"{name}.add")([block(x, width, style, name=name), shortcut])


def projected(x, width: int, style: Style, kernel: int, *, name: str):
    """The shortcut past a block: convolved where the width changes, else as it is."""
    if x.shape[-1] == width:
        return x
    return conv(x, width, style, kernel=kernel, name=f"{name}.shortcut")


def block(x, width: int, style: Style, *, stride: int = 1, upward: bool = False, name: str):
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


def doubling_conv(x, width: int, style: Style, *, name: str):
    """Transposed 3x3 convolution that doubles a map: stride 2, padding 1, output padding 1."""
    x = layers.Conv2DTranspose(
        width, 3, strides=2, use_bias=style.use_bias, kernel_initializer="he_normal", name=name
    )(x)
    # PyTorch's padding of 1 is a crop here; Keras' "same" would crop the other side
    return layers.Cropping2D(((1, 0), (1, 0)), name=f"{name}.crop")(x)


def conv(x, width: int, style: Style, *, kernel: int = 3, stride: int = 1, name: str):
    return blocks.conv2d(x, width, kernel=kernel, stride=stride, use_bias=style.use_bias, name=name)


def norm_act(x, style: Style, norm_name: str, name: str):
    if style.norm:
        x = blocks.batch_norm(x, name=norm_name)
    if style.nonlinearity == "relu":
        return layers.ReLU(name=name)(x)
    shared_axes = [1, 2] if style.nonlinearity == "prelu" else [1, 2, 3]
    return layers.PReLU(
        alpha_initializer=keras.initializers.Constant(0.25), shared_axes=shared_axes, name=name
    )(x)


def node(parts, row: int, column: int):
    """The sum of what reaches a node of the grid."""
    parts = [part for part in parts if part is not None]
    return parts[0] if len(parts) == 1 else layers.Add(name=f"node_{row}_{column}")(parts)


def _features(rows, features) -> tuple[int, ...]:
    if isinstance(features, int):
        features = tuple(features * 2**row for row in range(rows or len(FEATURES)))
    features = tuple(features)
    if rows is not None and rows != len(features):
        raise ValueError(
            f"rows and features must agree: one feature count a row. Received: rows={rows} and "
            f"features={features}"
        )
    blocks.check_widths(features, 1)
    return features


def _check(columns, nonlinearity, upsampling, stem, head):
    if not isinstance(columns, int) or columns < 2 or columns % 2:
        raise ValueError(f"columns must be an even number from 2. Received: {columns!r}")
    blocks.check_choice("nonlinearity", nonlinearity, NONLINEARITIES)
    blocks.check_choice("upsampling", upsampling, UPSAMPLINGS)
    blocks.check_choice("stem", stem, STEMS)
    blocks.check_choice("head", head, HEADS)
