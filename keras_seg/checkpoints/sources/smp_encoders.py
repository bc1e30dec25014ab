"""Encoders of segmentation_models.pytorch: its own, and timm's under `encoder.model.`."""

from __future__ import annotations

import re
from collections.abc import Callable

from keras_seg import backbones
from keras_seg.backbones.resnet import FIRST_BLOCKS
from keras_seg.backbones.vgg import CONVOLUTIONS
from keras_seg.checkpoints import foreign
from keras_seg.checkpoints.registry import Shapes
from keras_seg.checkpoints.smp_options import lacking
from keras_seg.checkpoints.sources.imagenet import encoder_of
from keras_seg.checkpoints.timm_names import base_name, told_apart

FLATTENED = re.compile(r"^(stem|stages|features|blocks)_(?=\d)")
"""timm's `features_only` joins the name and the index of a list with an underscore."""
NOT_RUN = (
    # (a tensor of the family, not run with four steps up, not run with three), by our names
    ("layer1.0.conv1.weight", r"layer4\.", r"layer[34]\."),
    ("conv_head.weight", r"(blocks\.[56]|conv_head|bn2)\.", r"(blocks\.[3-6]|conv_head|bn2)\."),
    (
        "block1.skip.weight",
        r"(block12|conv[34]|bn[34])\.",
        r"(block([3-9]|1\d)|conv[34]|bn[34])\.",
    ),
)
UNEQUAL = r"xception"
"""Encoders of timm from which smp takes maps that ours does not return."""


def with_plain_names(tensors: dict) -> dict:
    """Renames timm's encoders as smp names its own."""
    plain = {}
    for name, array in tensors.items():
        inner = re.match(r"encoder\.model\.(body\.)?(?P<rest>.*)", name)
        plain[f"encoder.{FLATTENED.sub(_dotted, inner['rest'])}" if inner else name] = array
    return plain


def _dotted(match: re.Match) -> str:
    return f"{match[1]}."


def not_run(shapes: Shapes, steps: int) -> Callable[[str], bool]:
    """Which tensors of an encoder are not run by a decoder with fewer than five steps up."""
    if "features.0.weight" in shapes and steps == 3:
        first = _fifth_stage(shapes)
        return lambda name: bool(m := re.match(r"features\.(\d+)\.", name)) and int(m[1]) >= first
    for tensor, with_four, with_three in NOT_RUN:
        if tensor in shapes and steps in (3, 4):
            pattern = re.compile(with_four if steps == 4 else with_three)
            return lambda name: bool(pattern.match(name))
    return lambda name: False


def _fifth_stage(shapes: Shapes) -> int:
    """Place of the first convolution of a VGG after the fourth pooling."""
    with_norm = "features.1.weight" in shapes
    convolutions = sum(
        name.startswith("features.") and len(shape) == 4 for name, shape in shapes.items()
    )
    before = sum(next(c[:4] for c in CONVOLUTIONS.values() if sum(c) == convolutions))
    return before * (3 if with_norm else 2) + 4


def encoder(
    shapes: Shapes, input_shape: tuple | None, choice: tuple[str | None, bool]
) -> tuple[str, dict]:
    """(encoder of ours, its options) for tensors of these shapes.

    Args:
        choice: (smp's name of the encoder or None, whether it is one of timm's).

    Raises: ValueError for an encoder that keras_seg does not have, for one that its tensors do not
        identify, and for an image with other channels.
    """
    name, on_timm = choice
    if name and name.startswith("tu-") and not on_timm:
        raise ValueError(
            f"encoder_name={name!r} has tensors under encoder.model., and the checkpoint has none "
            "there."
        )
    if name and not name.startswith("tu-") and on_timm:
        raise ValueError(
            f"encoder_name={name!r} is one of smp's own, and the checkpoint has tensors of one of "
            "timm's (tu-) under encoder.model."
        )
    if foreign.encoder(shapes):
        raise ValueError(lacking(shapes, name, on_timm))
    try:
        recognised = encoder_of(shapes)
    except (KeyError, ValueError) as error:
        why = f"{error} " if isinstance(error, ValueError) else ""
        raise ValueError(why + lacking(shapes, name, on_timm)) from error
    if on_timm:
        recognised = told_apart(recognised, name, word="encoder_name", prefix="tu-")
        if re.match(UNEQUAL, recognised[0]):
            raise ValueError(
                f"The encoder is {name or 'an Xception'} of timm, and smp takes its skips from "
                "within blocks: keras_seg does not have these maps."
            )
    elif name and not _is_own(recognised[0], name):
        raise ValueError(
            f"encoder_name={name!r} was given, but the tensors are those of "
            f"{recognised[0].removesuffix('_timm')}."
        )
    backbone, options = recognised
    if backbone == "xception_timm":
        options = {"stem_padding": "same", "last_relu": False}
    if not on_timm and "first_block" in backbones.find(backbone).options:
        options = options | {"first_block": FIRST_BLOCKS[1]}
    _check_channels(shapes, input_shape)
    return backbone, options


def _is_own(backbone: str, name: str) -> bool:
    ours = {"mobilenet_v2": "mobilenetv2_timm", "xception": "xception_timm"}
    return ours.get(base_name(name), name) == backbone or (
        backbone.startswith("resnet")
        and (
            name.startswith("resnet")  # several encoders begin so if cut off
        )
    )


FIRST_KERNEL = re.compile(r"^(conv1|conv1\.0|conv_stem|features\.0|stem\.0(\.conv)?)\.weight$")


def _check_channels(shapes: Shapes, input_shape: tuple | None) -> None:
    """Raises ValueError for an image with other channels than the first kernel."""
    channels = next((shape[1] for name, shape in shapes.items() if FIRST_KERNEL.match(name)), None)
    if channels is not None and input_shape is not None and input_shape[-1] != channels:
        wanted = (*input_shape[:-1], channels)
        raise ValueError(
            f"The checkpoint takes images of {channels} channels (in_channels={channels}), and "
            f"input_shape={tuple(input_shape)} has {input_shape[-1]}. Pass input_shape={wanted}."
        )
