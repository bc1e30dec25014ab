"""Details in which public implementations of one network differ: a record per network.

Networks that are trained from scratch do not need these options. They exist so that published
checkpoints give the same output as their own code. Each builder takes its record, or a mapping of
the fields that differ, as a recipe has it:

    models.unet((None, None, 3), 2, variant=variants.UNetVariant(concat="up_first"))
    models.build("unet", (None, None, 3), 2, variant={"concat": "up_first"})
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeVar

from keras_seg.blocks import BATCH_NORM_EPSILON
from keras_seg.models.options import (
    Count,
    Counts,
    Number,
    Positive,
    ResizeGrid,
    Share,
    annotations_of,
    check_options,
)
from keras_seg.names import unknown_name


@dataclass(frozen=True)
class Variant:
    """Base of all records. Fields are checked by their annotations."""

    def __post_init__(self) -> None:
        check_options(annotations_of(type(self)), vars(self))


@dataclass(frozen=True)
class UNetVariant(Variant):
    """Where implementations of U-Net differ.

    Attributes:
        norm: batch norm after the 3x3 convolutions. None: only with `padding="same"`.
        use_bias: bias in the 3x3 convolutions. None: only without batch norm.
        concat: "up_last" for [skip, up-sampled map], "up_first" for the other order.
        centre: with a backbone, two more convolutions between encoder and decoder, as
            segmentation_models.pytorch has them behind a VGG.
        head_kernel: size of the last convolution.
        any_size: take sizes that are not multiples: pooling drops the odd row, and the up-sampled
            map is padded with zeros to the size of its skip.
        resize_grid: sampling grid of up-sampling by resizing, see `keras_seg.layers.Resize`.
    """

    norm: bool | None = None
    use_bias: bool | None = None
    concat: Literal["up_last", "up_first"] = "up_last"
    centre: bool = False
    head_kernel: Count = 1
    any_size: bool = False
    resize_grid: ResizeGrid = "half_pixel"


@dataclass(frozen=True)
class UNetPlusPlusVariant(Variant):
    """Where implementations of U-Net++ differ.

    Attributes:
        norm: batch norm after the 3x3 convolutions. None: only with a backbone.
        use_bias: bias in the 3x3 convolutions. None: only without batch norm.
        concat: order of the maps before a node. "up_first": up-sampled, x(i, 0), x(i, 1), ...;
            "up_last": x(i, 0), x(i, 1), ..., up-sampled; "up_first_newest_first": up-sampled, ...,
            x(i, 1), x(i, 0).
        head_kernel: size of the last convolution.
        resize_grid: sampling grid of up-sampling by resizing, see `keras_seg.layers.Resize`.
    """

    norm: bool | None = None
    use_bias: bool | None = None
    concat: Literal["up_first", "up_last", "up_first_newest_first"] = "up_first"
    head_kernel: Count = 1
    resize_grid: ResizeGrid = "half_pixel"


@dataclass(frozen=True)
class ResUNetVariant(Variant):
    """Where implementations of ResUNet differ.

    Attributes:
        shortcut_kernel: size of the shortcut convolutions: 1, or 3 as in rishikksh20/ResUnet.
        shortcut_norm: batch norm after the shortcut convolution: in "none" of the units, in the
            "units" after the first, or in "all" of them.
        padding: padding of the 3x3 convolutions with stride 2: "same" on all sides, or
            "keras_same" for weights that were trained with Keras (one pixel below and to the right
            only).
        batch_norm_epsilon: 1e-5 as in PyTorch; Keras' own default is 1e-3.
        resize_grid: sampling grid of up-sampling by resizing, see `keras_seg.layers.Resize`.
    """

    shortcut_kernel: Literal[1, 3] = 1
    shortcut_norm: Literal["none", "units", "all"] = "none"
    padding: Literal["same", "keras_same"] = "same"
    batch_norm_epsilon: Positive = BATCH_NORM_EPSILON
    resize_grid: ResizeGrid = "half_pixel"


@dataclass(frozen=True)
class ResUNetPlusPlusVariant(ResUNetVariant):
    """Where implementations of ResUNet++ differ, besides the residual units of ResUNet.

    Attributes:
        squeeze_excite: place of the squeeze-and-excitation: "after" every unit, "before" every
            unit except the first, or "before_strided" units only.
        attention: the attention gates give a factor for each of the "channels", or a "single"
            factor per pixel.
        aspp_merge: "sum" of (convolution, norm), or "concat" of (convolution, ReLU, norm).
    """

    shortcut_norm: Literal["none", "units", "all"] = "all"
    squeeze_excite: Literal["after", "before", "before_strided"] = "after"
    attention: Literal["channels", "single"] = "channels"
    aspp_merge: Literal["sum", "concat"] = "sum"


@dataclass(frozen=True)
class DeepLabV3PlusVariant(Variant):
    """Where implementations of DeepLabV3+ differ in the pyramid and the decoder.

    Attributes:
        pyramid, decoder: the kind of 3x3 convolution, each followed by norm and ReLU: "separable"
            (norm and ReLU also between the depthwise and the pointwise part), "plain_separable"
            (nothing between) or "full".
        pooling_first: the image pooling is concatenated before the other branches, not after.
        refined: a separable convolution follows the pyramid.
        low_level_first: the encoder's map is concatenated before the pyramid, not after.
        dropout: rate after the pyramid.
        decoder_dropouts: rate after each convolution of the decoder, which has as many.
        resize_grid: sampling grid of every resize, see `keras_seg.layers.Resize`.
    """

    pyramid: Literal["separable", "plain_separable", "full"] = "separable"
    decoder: Literal["separable", "plain_separable", "full"] = "separable"
    pooling_first: bool = True
    refined: bool = False
    low_level_first: bool = False
    dropout: Share = 0.1
    decoder_dropouts: tuple[Share, ...] = (0.0, 0.0)
    resize_grid: ResizeGrid = "half_pixel"


@dataclass(frozen=True)
class GridNetVariant(Variant):
    """Where implementations of GridNet differ.

    Attributes:
        norm: batch norm before every activation, on the image and on the scores.
        nonlinearity: "relu", "prelu" (a slope per channel) or "prelu_shared" (one per layer).
        use_bias: bias in the convolutions.
        stem: "plain" (two convolutions); "residual" (a lateral block whose shortcut is a 3x3
            convolution where the width changes); or "rows": no stem, the network takes a list of
            feature maps, one per row. `input_shape` is then a list of shapes, or that of the first.
        head: "plain" (two convolutions); "residual" as for the stem; or "shortcut" (convolution,
            activation, convolution beside a 1x1 convolution, which is left out if the row has as
            many channels as there are classes).
    """

    norm: bool = True
    nonlinearity: Literal["relu", "prelu", "prelu_shared"] = "relu"
    use_bias: bool = True
    stem: Literal["plain", "residual", "rows"] = "plain"
    head: Literal["plain", "residual", "shortcut"] = "plain"


@dataclass(frozen=True)
class OCRNetVariant(Variant):
    """Where implementations of OCR differ.

    Attributes:
        auxiliary_channels, auxiliary_kernel: channels and kernel of the convolution before the
            regions' scores. None, as the authors have it: on HRNet its number of input channels and
            1x1, on ResNet `mid_channels` and 3x3.
        transform_bias: bias in the 1x1 convolutions of the attention.
        negative_slope: slope of the ReLUs after the encoder for negative values; 0.01 in networks
            of InPlaceABN.
        backbone_width, deep_stem, ceil_pool: options of a ResNet, see
            `keras_seg.backbones.resnet.resnet_maps`.
        multi_grid: factors on the dilations of the blocks of a ResNet's last stage.
        resize_grid: sampling grid of every resize.
    """

    auxiliary_channels: Count | None = None
    auxiliary_kernel: Count | None = None
    transform_bias: bool = False
    negative_slope: Number = 0.0
    backbone_width: Count = 64
    deep_stem: str | None = None
    ceil_pool: bool = False
    multi_grid: Counts | None = None
    resize_grid: Literal["half_pixel", "align_corners"] = "align_corners"


@dataclass(frozen=True)
class DANetVariant(Variant):
    """Where implementations of DANet differ.

    Attributes:
        attention_scale: value that the learned scales of both attentions start from.
        resize_grid: sampling grid of the logits' resize, see `keras_seg.layers.Resize`.
    """

    attention_scale: Number = 0.0
    resize_grid: ResizeGrid = "align_corners"


DEEPLABV3PLUS_VARIANTS = {
    "tensorflow": DeepLabV3PlusVariant(),
    "jfzhang95": DeepLabV3PlusVariant(
        "full", "full", pooling_first=False, dropout=0.5, decoder_dropouts=(0.5, 0.1)
    ),
    "vainf": DeepLabV3PlusVariant(
        "full", "full", pooling_first=False, low_level_first=True, decoder_dropouts=(0.0,)
    ),
    "smp": DeepLabV3PlusVariant(
        "plain_separable",
        "plain_separable",
        pooling_first=False,
        refined=True,
        dropout=0.5,
        decoder_dropouts=(0.0,),
    ),
}
"""The authors' tensorflow/models, jfzhang95/pytorch-deeplab-xception, VainF/DeepLabV3Plus-Pytorch
and segmentation_models.pytorch."""
NAMED_VARIANTS: dict[type[Variant], dict[str, Any]] = {DeepLabV3PlusVariant: DEEPLABV3PLUS_VARIANTS}
"""Record → its published variants by name."""

AnyVariant = TypeVar("AnyVariant", bound=Variant)


def as_variant(
    record: type[AnyVariant], value: object, base: AnyVariant | None = None
) -> AnyVariant:
    """The record for the value of a builder's `variant`.

    Args:
        record: the network's own record.
        value: None for the base, a record, a mapping of fields that change the base, or the name of
            a published variant.
        base: None for the record's defaults.

    Raises: ValueError for anything else, for an unknown name or field (with the nearest), and for
        a field whose value its annotation excludes.
    """
    names = NAMED_VARIANTS.get(record, {})
    base = base or record()
    if value is None:
        return base
    if isinstance(value, record):
        return value
    if isinstance(value, Mapping):
        return changed(base, value)
    if isinstance(value, str) and names:
        if value not in names:
            raise ValueError(unknown_name("variant", value, names))
        return names[value]
    named = f", one of {tuple(names)}" if names else ""
    raise ValueError(
        f"variant must be a {record.__name__} or a mapping of its fields{named}. "
        f"Received: {value!r}"
    )


def changed(variant: AnyVariant, changes: Mapping[str, Any]) -> AnyVariant:
    """A variant with other values in some fields.

    Raises: ValueError for an unknown field, with the nearest, and for a wrong value.
    """
    known = [field.name for field in fields(variant)]
    for name in changes:
        if name not in known:
            raise ValueError(unknown_name(f"field of {type(variant).__name__}", name, known))
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in changes.items()}
    return replace(variant, **values)
