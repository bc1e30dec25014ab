"""iCNN. Zhou, Hu, Zhang: Interlinked Convolutional Neural Networks for Face Parsing, ISNN 2015,
arXiv:1806.02479; and the network under the same name in STN-iCNN: Yin, Yiu, Hu, Tang: End-to-End
Face Parsing via Interlinked Convolutional Neural Networks, 2021, arXiv:2002.04831."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import keras
from keras import KerasTensor, layers

from keras_seg import blocks
from keras_seg.layers import PaddedMaxPooling2D, ParityPlanes, Resize, ScaleBreak
from keras_seg.models.options import Activation, Count, ImageShape, Pixels, at_least
from keras_seg.models.registry import register

WIDTHS = (8, 16, 24, 32)


@register(
    "icnn",
    title="iCNN",
    paper="arXiv:1806.02479",
    tiny={"widths": (4, 4, 8, 8), "interlinks": 2},
)
def icnn(
    input_shape: ImageShape = (None, None, 3),
    num_classes: int = 9,
    *,
    form: Literal["theano", "stn"] = "theano",
    widths: Annotated[tuple[int, ...], at_least(2)] = WIDTHS,
    interlinks: Count = 3,
    preprocessing: Pixels | None = "symmetric",
    activation: Activation | None = None,
    name: str = "icnn",
) -> keras.Model:
    """iCNN: one small network per resolution; neighbours exchange their maps after each step.

    Shapes: image (B, H, W, C) of pixels in 0..255, any H and W → logits (B, H, W, num_classes).

    Args:
        form: "theano" for the release of the paper's year (tanh, no norm, parity planes) or "stn"
            for the network of STN-iCNN (batch norm, two convolutions per interlink).
        widths: channels per resolution, beginning with that of the image; each next is half.
        interlinks: how often the resolutions exchange their maps.

    Returns: a functional `keras.Model`.

    Raises: ValueError for a wrong option.

    Example:

        model = keras_seg.models.icnn((64, 64, 3), num_classes=9, form="stn")

    Differs from the paper: class 0 is the background, the Theano release has it last; a constant
    normalisation instead of each image's own mean and deviation.
    Source: bloodmage/Twostep-helen-face-parsing ("theano"), aod321/STN-iCNN ("stn").
    """
    image, x = blocks.image_input(input_shape, preprocessing=preprocessing)

    rows = [x]
    for row in range(1, len(widths)):
        rows.append(down(rows[-1], name=f"row{row}_image"))
    parts = theano_form if form == "theano" else stn_form
    x = parts(rows, widths, interlinks, num_classes)
    return keras.Model(image, blocks.output_scores(x, activation), name=name)


def theano_form(
    rows: list[KerasTensor], widths: Sequence[int], interlinks: int, num_classes: int
) -> KerasTensor:
    """One convolution with tanh per step. A row reads itself, the finer and the coarser row."""

    def conv_tanh(x: KerasTensor, width: int, name: str, kernel: int = 5) -> KerasTensor:
        x = blocks.conv2d(x, width, kernel=kernel, use_bias=True, name=name)
        return layers.Activation("tanh", name=f"{name}.tanh")(x)

    def joined(
        name: str,
        row: KerasTensor,
        finer: KerasTensor | None = None,
        coarser: KerasTensor | None = None,
    ) -> KerasTensor:
        maps = [row]
        if finer is not None:
            maps.append(down(finer, name=f"{name}.down"))
        if coarser is not None:
            x = up(coarser, row, name=f"{name}.up")
            maps += [x, ParityPlanes(name=f"{name}.parity")(x)]
        return layers.Concatenate(name=f"{name}.concat")(maps)

    rows = [
        conv_tanh(x, width, f"row{row}_in", kernel=9)
        for row, (x, width) in enumerate(zip(rows, widths, strict=True))
    ]
    for step in range(interlinks):
        rows = [
            conv_tanh(joined(name, x, finer, coarser), x.shape[-1], name)
            for name, x, finer, coarser in _with_neighbours(rows, f"row{{}}_inter{step}")
        ]
    x = rows[-1]
    for row in range(len(rows) - 2, 0, -1):
        name = f"row{row}_merge"
        x = conv_tanh(joined(name, rows[row], coarser=x), widths[row], name)
    head_width = 2 * (num_classes - 1) + 8  # by labels without the background, as released
    x = conv_tanh(joined("head", rows[0], coarser=x), head_width, "head")
    return blocks.classifier(x, num_classes, kernel=9, name="classifier")


def stn_form(
    rows: list[KerasTensor], widths: Sequence[int], interlinks: int, num_classes: int
) -> KerasTensor:
    """Two convolutions with batch norm and ReLU per interlink; a row reads finer, own, coarser."""

    def conv(x: KerasTensor, width: int, name: str, norm_name: str, activation: str) -> KerasTensor:
        return blocks.conv_bn_act(
            x,
            width,
            kernel=5,
            use_bias=True,
            name=name,
            norm_name=norm_name,
            activation=activation,
        )

    def cell(
        name: str, x: KerasTensor, finer: KerasTensor | None, coarser: KerasTensor | None
    ) -> KerasTensor:
        maps = [] if finer is None else [down(finer, name=f"{name}.down")]
        maps.append(x)
        if coarser is not None:
            maps.append(up(coarser, x, name=f"{name}.up"))
        width = x.shape[-1]
        x = layers.Concatenate(name=f"{name}.concat")(maps)
        for part in (f"{name}.inter_conv_node", f"{name}.conv_node"):
            x = conv(x, width, part, f"{part}_batchnorm", "relu")
        return x

    rows = [
        conv(x, width, f"input_conv.{row}", f"input_bnm.{row}", "tanh")
        for row, (x, width) in enumerate(zip(rows, widths, strict=True))
    ]
    for step in range(interlinks):
        node_name = f"interlink_layers.{step}.iCNN_Nodelist.{{}}"
        rows = [cell(*neighbours) for neighbours in _with_neighbours(rows, node_name)]
    x = rows[-1]
    for row in range(len(rows) - 2, -1, -1):
        node_name = f"interlink_layers.{interlinks - 1}.iCNN_Nodelist.{row}.output_conv_node"
        x = up(x, rows[row], name=f"{node_name}.up")
        x = layers.Concatenate(name=f"{node_name}.concat")([rows[row], x])
        x = conv(x, widths[row], node_name, f"{node_name}_batchnorm", "tanh")
    x = conv(x, 2 * num_classes + 8, "last_conv1", "last_con1_bnm", "tanh")
    x = blocks.classifier(x, num_classes, kernel=5, name="last_conv2")
    return blocks.classifier(x, num_classes, kernel=9, name="last_conv3")


def down(x: KerasTensor, *, name: str) -> KerasTensor:
    """3x3 max pooling with stride 2, padded on all sides: (B, H, W, C) → (B, ceil(H/2), ...)."""
    x = PaddedMaxPooling2D(name=name)(x)
    return ScaleBreak(name=f"{name}.scale")(x)


def up(x: KerasTensor, like: KerasTensor, *, name: str) -> KerasTensor:
    """Repeats every pixel twice in both directions, cropped to the size of `like`."""
    x = ScaleBreak(name=f"{name}.scale")(x)
    return Resize(grid="top_left", interpolation="nearest", name=name)(x, like=like)


def _with_neighbours(rows: list[KerasTensor], name: str) -> list[tuple]:
    """(name with the row's number, row, finer row or None, coarser row or None) of each row."""
    finer, coarser = [None, *rows[:-1]], [*rows[1:], None]
    numbered = enumerate(zip(rows, finer, coarser, strict=True))
    return [(name.format(number), *maps) for number, maps in numbered]
