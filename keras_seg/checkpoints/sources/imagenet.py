"""ImageNet networks of timm and torchvision, as encoders of ours."""

from __future__ import annotations

import keras

from keras_seg import backbones
from keras_seg.backbones.hrnet import VARIANTS, variant_from_shapes
from keras_seg.backbones.mobilenetv2 import STAGES, names_from_torchvision
from keras_seg.backbones.table import CLASSIFIER
from keras_seg.backbones.vgg import CONVOLUTIONS
from keras_seg.backbones.xception import ENTRY_FLOWS, MIDDLE_BLOCKS
from keras_seg.checkpoints.registry import Shapes, source
from keras_seg.checkpoints.sources.facts import resnet_name


@source("timm", ignore=CLASSIFIER)
def timm(shapes: Shapes, input_shape, options: dict) -> keras.Model:
    """The encoders of timm that `keras_seg.backbones` has, as their weights' names tell.

    Returns a dict: "features", the last map before timm's pooling (not for HRNet, which has four
    last maps), and the maps "stride_2" to "stride_32".
    """
    name, found = encoder_of(shapes)
    model = backbones.build(name, input_shape, preprocessing=None, **found | options)
    if name.startswith("hrnet"):
        return model
    return keras.Model(
        model.input, {"features": model.output["stride_32"]} | model.output, name=name
    )


@source(
    "torchvision", has=r"^features\.1\.conv\.", rename=names_from_torchvision(), ignore=CLASSIFIER
)
@source("torchvision", has=r"^(layer1\.|features\.0\.weight$)", ignore=CLASSIFIER)
def torchvision(shapes: Shapes, input_shape, options: dict) -> keras.Model:
    """ResNet, VGG and MobileNetV2 of torchvision, which timm took its names from."""
    return timm(shapes, input_shape, options)


def encoder_of(shapes: Shapes) -> tuple[str, dict]:
    """(name, options) of the encoder that tensors of these shapes belong to."""
    if "transition1.0.0.weight" in shapes:
        variant = variant_from_shapes(shapes)
        for name, known in VARIANTS.items():
            if known == variant:
                return f"hrnet_{name}", {}
        raise ValueError(f"No HRNet of {[*VARIANTS]} has these sizes. Received: {variant}")
    if "conv_stem.weight" in shapes:
        widest = STAGES[-1][1]
        return "mobilenetv2_timm", {"alpha": shapes["blocks.6.0.conv_pwl.weight"][0] / widest}
    if "stem.0.conv.weight" in shapes:
        return _xception_name(shapes), {}
    if "features.0.weight" in shapes:
        return _vgg_name(shapes), {"width": shapes["features.0.weight"][0]}
    deep_stem = "timm" if "conv1.0.weight" in shapes else None
    width = shapes["layer1.0.conv1.weight"][0]
    return resnet_name(shapes), {"deep_stem": deep_stem, "width": width}


def _xception_name(shapes):
    count = len({name.split(".")[1] for name in shapes if name.startswith("blocks.")})
    for depth, entry in ENTRY_FLOWS.items():
        if len(entry) + MIDDLE_BLOCKS[depth] + 2 == count:
            return f"xception{depth}"
    raise ValueError(f"No aligned Xception of {[*ENTRY_FLOWS]} has {count} blocks.")


def _vgg_name(shapes):
    count = sum(name.startswith("features.") and len(shape) == 4 for name, shape in shapes.items())
    for depth, convolutions in CONVOLUTIONS.items():
        if sum(convolutions) == count:
            return f"vgg{depth}_bn" if "features.1.weight" in shapes else f"vgg{depth}"
    raise ValueError(f"No VGG of {[*CONVOLUTIONS]} has {count} convolutions.")
