"""ImageNet checkpoints of timm and torchvision, as encoders of ours."""

from __future__ import annotations

import re

import keras

from keras_seg import backbones
from keras_seg.backbones import efficientnet_lite, efficientnetv2, mobilenetv2, mobilenetv3
from keras_seg.backbones.hrnet import VARIANTS, variant_from_shapes
from keras_seg.backbones.mobile_blocks import Rules
from keras_seg.backbones.mobilenetv2 import names_from_torchvision
from keras_seg.backbones.table import CLASSIFIER, MOBILENETV3_CLASSIFIER
from keras_seg.backbones.vgg import CONVOLUTIONS
from keras_seg.backbones.xception import ENTRY_FLOWS, MIDDLE_BLOCKS
from keras_seg.checkpoints import foreign
from keras_seg.checkpoints.registry import Shapes, source
from keras_seg.checkpoints.sources.shared import resnet_name
from keras_seg.checkpoints.timm_names import told_apart

HARMLESS_ARGUMENTS = re.compile(
    r"num_classes|in_chans|global_pool|img_size|features_only|out_indices|pretrained\w*|(\w+_)?drop_rate"
    r"|scriptable|exportable|no_jit|zero_init_last"
)
"""Arguments of timm's models that change only the classifier, the training or initial weights."""


def timm_options(published: dict, settings: dict, options: dict) -> dict:
    """Options from timm's config.json, overridden by those of the caller.

    "architecture" is the model's name, and "model_args" are the arguments that it was built with.

    Raises: ValueError for an argument that changes what the encoder computes.
    """
    from_config = {"model": settings["architecture"]} if settings.get("architecture") else {}
    for name, value in (settings.get("model_args") or {}).items():
        if name == "output_stride":
            from_config[name] = value
        elif value is not None and not HARMLESS_ARGUMENTS.fullmatch(name):
            raise ValueError(
                f"config.json has model_args with {name}={value!r}, which changes what the model "
                "computes, and which keras_seg does not have."
            )
    return from_config | options


@source("timm", ignore=CLASSIFIER, translate=timm_options)
@source("timm", has=r"^conv_head\.bias$", ignore=MOBILENETV3_CLASSIFIER, translate=timm_options)
def timm(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """The encoders of timm that `keras_seg.backbones` has, recognised by their tensors.

    The model's output is a dict of "features", the last map before timm's pooling (not for HRNet,
    which has four last maps), and the maps "stride_2" to "stride_32".
    """
    options = dict(options)
    model_name = options.pop("model", None)
    if model_name is None and "tensorflow" in options:  # decides it as well
        return _imagenet(encoder_of(shapes), input_shape, options)
    return _imagenet(
        told_apart(_known(shapes, model_name), model_name, word="model"), input_shape, options
    )


def _known(shapes: Shapes, model_name: str | None) -> tuple[str, dict]:
    """As `encoder_of`; the refusal of an unknown encoder names its family."""
    family = foreign.encoder(shapes)
    try:
        if family is None:
            return encoder_of(shapes)
    except (KeyError, ValueError):
        if model_name is None:
            raise
    called = f"model={model_name!r}" if model_name else f"of the family {family}"
    raise ValueError(
        f"The checkpoint is {called}, which keras_seg does not have. "
        "`keras_seg.backbones.list_backbones()` names its encoders."
    )


def _imagenet(encoder: tuple[str, dict], input_shape: tuple, options: dict) -> keras.Model:
    name, arguments = encoder
    model = backbones.build(name, input_shape, preprocessing=None, **arguments | options)
    if name.startswith("hrnet"):
        return model
    return keras.Model(
        model.input, {"features": model.output["stride_32"]} | model.output, name=name
    )


@source(
    "torchvision", has=r"^features\.1\.conv\.", rename=names_from_torchvision(), ignore=CLASSIFIER
)
@source("torchvision", has=r"^(layer1\.|features\.0\.weight$)", ignore=CLASSIFIER)
def torchvision(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """ResNet, VGG and MobileNetV2 of torchvision, whose names timm uses."""
    return _imagenet(_known(shapes, None), input_shape, options)


def encoder_of(shapes: Shapes) -> tuple[str, dict]:
    """(name, options) of the encoder that tensors of these shapes belong to."""
    if "transition1.0.0.weight" in shapes:
        variant = variant_from_shapes(shapes)
        for name, known in VARIANTS.items():
            if known == variant:
                widened = "incre_modules.0.0.conv1.weight" in shapes
                return f"hrnet_{name}", {"widened": True} if widened else {}
        raise ValueError(f"No HRNet of {[*VARIANTS]} has these sizes. Received: {variant}")
    if "conv_stem.weight" in shapes:
        return _mobile_network(shapes)
    if "stages.0.blocks.0.gamma" in shapes:
        return "convnext_tiny_timm", {
            "depths": [_count(shapes, rf"stages\.{i}\.blocks") for i in range(4)],
            "widths": [shapes[f"stages.{i}.blocks.0.gamma"][0] for i in range(4)],
        }
    if "block1.rep.0.conv1.weight" in shapes:
        return "xception_timm", {"stem_padding": "valid"}
    if "stem.0.conv.weight" in shapes:
        return _xception_name(shapes), {}
    if "features.0.weight" in shapes:
        return _vgg_name(shapes), {"width": shapes["features.0.weight"][0]}
    deep_stem = "timm" if "conv1.0.weight" in shapes else None
    width = shapes["layer1.0.conv1.weight"][0]
    return resnet_name(shapes), {"deep_stem": deep_stem, "width": width}


def _mobile_network(shapes: Shapes) -> tuple[str, dict]:
    """`encoder_of` for MobileNetV2 and V3, EfficientNetV2 and EfficientNet-Lite."""
    if "blocks.1.0.conv_exp.weight" in shapes:
        depth = _count(shapes, r"blocks\.5")
        for variant in efficientnetv2.FACTORS:
            if efficientnetv2.block_counts(variant)[-1] == depth:
                return f"tf_efficientnetv2_{variant}_timm", _without_head(shapes)
        raise ValueError(f"No EfficientNetV2 of B0 to B3 has {depth} blocks in its last stage.")
    for size, stages in mobilenetv3.STAGES.items():
        if f"blocks.{len(stages)}.0.conv.weight" in shapes:
            last = f"blocks.{len(stages) - 1}.0"
            alpha = shapes[f"{last}.conv_pwl.weight"][0] / stages[-1].channels
            # the minimalistic ones come from TensorFlow; timm has both kinds of the others
            if f"{last}.se.conv_reduce.weight" in shapes:
                return f"mobilenetv3_{size}_timm", {"alpha": alpha}
            return f"tf_mobilenetv3_{size}_minimalistic_timm", {"alpha": alpha}
    counts = [_count(shapes, rf"blocks\.{i}") for i in range(len(mobilenetv2.STAGES))]
    if shapes["blocks.2.0.conv_dw.weight"][-1] == efficientnet_lite.STAGES[2].kernel:
        return _efficientnet_lite(shapes, counts)
    stem = shapes["conv_stem.weight"][0]
    alpha = shapes["blocks.6.0.conv_pwl.weight"][0] / mobilenetv2.STAGES[-1][1]
    scaled = alpha == 1 or stem != mobilenetv2.STEM_CHANNELS
    arguments = {"alpha": alpha, "counts": counts, "scaled_ends": scaled} | _without_head(shapes)
    return "mobilenetv2_timm", arguments


def _efficientnet_lite(shapes: Shapes, counts: list[int]) -> tuple[str, dict]:
    """The EfficientNet-Lite with these blocks and channels; Lite1 and Lite2 have equal blocks."""
    last = efficientnet_lite.STAGES[-1]
    for variant, (alpha, _) in efficientnet_lite.FACTORS.items():
        widths = shapes["blocks.6.0.conv_pwl.weight"][0], Rules(alpha=alpha).channels(last.channels)
        if list(efficientnet_lite.block_counts(variant)) == counts and widths[0] == widths[1]:
            return f"efficientnet_{variant}", _without_head(shapes)
    raise ValueError(f"No EfficientNet-Lite has {counts} blocks in its stages.")


def _without_head(shapes: Shapes) -> dict:
    return {} if "conv_head.weight" in shapes else {"with_head": False}


def _count(shapes: Shapes, path: str) -> int:
    """How many different numbers follow a path in the names of tensors."""
    matches = (re.match(rf"{path}\.(\d+)\.", name) for name in shapes)
    return len({match[1] for match in matches if match})


def _xception_name(shapes: Shapes) -> str:
    count = _count(shapes, "blocks")
    for depth, entry in ENTRY_FLOWS.items():
        if len(entry) + MIDDLE_BLOCKS[depth] + 2 == count:
            return f"xception{depth}"
    raise ValueError(f"No aligned Xception of {[*ENTRY_FLOWS]} has {count} blocks.")


def _vgg_name(shapes: Shapes) -> str:
    count = sum(name.startswith("features.") and len(shape) == 4 for name, shape in shapes.items())
    for depth, convolutions in CONVOLUTIONS.items():
        if sum(convolutions) == count:
            return f"vgg{depth}_bn" if "features.1.weight" in shapes else f"vgg{depth}"
    raise ValueError(f"No VGG of {[*CONVOLUTIONS]} has {count} convolutions.")
