"""Checkpoints of U-Net and U-Net++."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import keras

from keras_seg import models
from keras_seg.backbones.mobilenetv2 import names_from_torchvision
from keras_seg.checkpoints.registry import Shapes, source
from keras_seg.checkpoints.smp_options import translate
from keras_seg.checkpoints.sources.shared import in_variant
from keras_seg.checkpoints.sources.smp_encoders import (
    encoder,
    not_run,
    with_plain_names,
)
from keras_seg.models.variants import UNetPlusPlusVariant, UNetVariant

DEPTH = 4
"""Number of poolings of all U-Nets here except smp's."""
SMP_STEPS = (5, 4, 3)
"""Steps up in smp (`encoder_depth`); with four or three the deeper stages are not run."""
SMP_STEP = re.compile(r"up(\d)\.(?:conv\.double_conv\.0|conv1)\.weight")


@source(
    "milesial",
    # The names until 2019. The weights with convolution biases are from that time.
    rename=[
        (r"^inc\.conv\.conv\.", "inc.double_conv."),
        (r"\.mpconv\.1\.conv\.", ".maxpool_conv.1.double_conv."),
        (r"^(up\d)\.conv\.conv\.", r"\1.conv.double_conv."),
    ],
    ignore=[r"^mask_values$"],
)
def milesial(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """milesial/Pytorch-UNet: transposed up-sampling, or bilinear where there is no `up1.up`."""
    variant = UNetVariant(resize_grid="align_corners", any_size=True)
    return _unet(shapes, input_shape, options, variant)


@source(
    "mateuszbuda",
    has=r"^encoder1\.enc1conv1\.",
    rename=[
        (r"^encoder1\.enc1", "inc.double_conv."),
        *(
            (rf"^encoder{i + 1}\.enc{i + 1}", f"down{i}.maxpool_conv.1.double_conv.")
            for i in (1, 2, 3)
        ),
        (r"^bottleneck\.bottleneck", "down4.maxpool_conv.1.double_conv."),
        *((rf"^upconv{5 - i}\.", f"up{i}.up.") for i in (1, 2, 3, 4)),
        *((rf"^decoder{5 - i}\.dec{5 - i}", f"up{i}.conv.double_conv.") for i in (1, 2, 3, 4)),
        (r"^conv\.", "outc.conv."),
        (r"\.conv1\.", ".0."),
        (r"\.norm1\.", ".1."),
        (r"\.conv2\.", ".3."),
        (r"\.norm2\.", ".4."),
    ],
)
def mateuszbuda(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """mateuszbuda/brain-segmentation-pytorch, without the sigmoid at the end of its forward."""
    return _unet(shapes, input_shape, options, UNetVariant(concat="up_first"))


@source("4uiiurz1", has=r"^conv0_1\.")
def nested_unet(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """NestedUNet of 4uiiurz1/pytorch-nested-unet, which has our layer names."""
    deep_supervision = "final1.weight" in shapes
    num_classes = shapes["final1.weight" if deep_supervision else "final.weight"][0]
    arguments = {
        "widths": tuple(shapes[f"conv{i}_0.conv1.weight"][0] for i in range(DEPTH + 1)),
        "upsampling": "bilinear",
        "deep_supervision": deep_supervision,
        "preprocessing": None,
    }
    variant = UNetPlusPlusVariant(
        norm=True,
        use_bias="conv0_0.conv1.bias" in shapes,
        concat="up_last",
        resize_grid="align_corners",
    )
    options = in_variant("unetplusplus", variant, options)
    return models.build("unetplusplus", input_shape, num_classes, **arguments | options)


@source(
    "4uiiurz1",
    has=r"^conv3_1\.",
    rename=[
        (r"^conv0_0\.", "inc.double_conv."),
        (r"^conv([1-4])_0\.", r"down\1.maxpool_conv.1.double_conv."),
        (r"^conv\d_([1-4])\.", r"up\1.conv.double_conv."),
        (r"^final\.", "outc.conv."),
        (r"\.conv1\.", ".0."),
        (r"\.bn1\.", ".1."),
        (r"\.conv2\.", ".3."),
        (r"\.bn2\.", ".4."),
    ],
)
def unet_of_nested_unet(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """UNet of 4uiiurz1/pytorch-nested-unet."""
    return _unet(shapes, input_shape, options, UNetVariant(resize_grid="align_corners"))


@source(
    "nikhilroxtomar",
    has=r"^e1\.conv\.",
    rename=[
        (r"^e1\.conv\.", "inc.double_conv."),
        *((rf"^e{i + 1}\.conv\.", f"down{i}.maxpool_conv.1.double_conv.") for i in (1, 2, 3)),
        (r"^b\.", "down4.maxpool_conv.1.double_conv."),
        (r"^d(\d)\.up\.", r"up\1.up."),
        (r"^d(\d)\.conv\.", r"up\1.conv.double_conv."),
        (r"^outputs\.", "outc.conv."),
        (r"\.conv1\.", ".0."),
        (r"\.bn1\.", ".1."),
        (r"\.conv2\.", ".3."),
        (r"\.bn2\.", ".4."),
    ],
)
def nikhilroxtomar(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """Semantic-Segmentation-Architecture, PyTorch/unet.py."""
    return _unet(shapes, input_shape, options, UNetVariant(concat="up_first"))


def smp_not_run(shapes: Shapes) -> Callable[[str], bool]:
    """Which tensors are in smp's checkpoint but not run, by our names."""
    steps = max(int(match[1]) for name in shapes if (match := SMP_STEP.match(name)))
    return not_run(shapes, steps)


@source(
    "smp",
    has=r"^decoder\.blocks\.0\.conv1\.0\.",
    prepare=with_plain_names,
    not_run=smp_not_run,
    translate=translate,
    ignore=[r"^classification_head\."],
    rename=[
        (r"^encoder\.", ""),
        *names_from_torchvision(),
        *((rf"^decoder\.blocks\.{i}\.", f"up{i + 1}.conv.double_conv.") for i in range(5)),
        (r"^decoder\.center\.0\.", "centre.double_conv.conv1."),
        (r"^decoder\.center\.1\.", "centre.double_conv.conv2."),
        (r"\.double_conv\.conv1\.", ".double_conv."),
        (r"\.double_conv\.conv2\.0", ".double_conv.3"),
        (r"\.double_conv\.conv2\.1", ".double_conv.4"),
        (r"^segmentation_head\.0\.", "outc.conv."),
    ],
)
def smp_unet(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """Unet of segmentation_models.pytorch on an encoder of its own or of timm's."""
    steps = sum(f"up{step}.conv.double_conv.0.weight" in shapes for step in range(1, 6))
    variant = UNetVariant(
        norm="up1.conv.double_conv.1.weight" in shapes,
        use_bias="up1.conv.double_conv.0.bias" in shapes,
        concat="up_first",
        centre="centre.double_conv.0.weight" in shapes,
        head_kernel=shapes["outc.conv.weight"][-1],
        resize_grid="top_left",
    )
    arguments = {"decoder_widths": tuple(last for _, last in _decoder_widths(shapes, steps))}
    options = in_variant("unet", variant, arguments | options)
    return _smp("unet", shapes, shapes["outc.conv.weight"][0], input_shape, options)


def smp_unetplusplus(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """UnetPlusPlus of segmentation_models.pytorch on an encoder of its own or of timm's."""
    if "stages.0.blocks.0.gamma" in shapes:
        raise ValueError(
            "The checkpoint is UnetPlusPlus on ConvNeXt, which has no map at stride 2. smp puts an "
            "empty one there, which keras_seg does not have."
        )
    steps = next(step for step in SMP_STEPS if f"up{step}.conv1.weight" in shapes)
    last_nodes = [f"conv{row}_{steps - 1 - row}" for row in range(steps - 2, -1, -1)]
    variant = UNetPlusPlusVariant(
        norm=f"up{steps}.bn1.weight" in shapes,
        use_bias=f"up{steps}.conv1.bias" in shapes,
        concat="up_first_newest_first",
        head_kernel=shapes["final.weight"][-1],
        resize_grid="top_left",
    )
    nodes = (*last_nodes, f"up{steps}")
    arguments = {"decoder_widths": tuple(shapes[f"{node}.conv1.weight"][0] for node in nodes)}
    options = in_variant("unetplusplus", variant, arguments | options)
    return _smp("unetplusplus", shapes, shapes["final.weight"][0], input_shape, options)


def smp_unetplusplus_names(steps: int) -> list[tuple[str, str]]:
    """Block x_d_l is a node of the row l + 1 steps above the deepest; the last has no skip."""
    return [
        (r"^encoder\.", ""),
        *names_from_torchvision(),
        *(
            (rf"^decoder\.blocks\.x_{d}_{step}\.", f"conv{steps - 2 - step}_{step - d + 1}.")
            for step in range(steps - 1)
            for d in range(step + 1)
        ),
        (rf"^decoder\.blocks\.x_0_{steps - 1}\.", f"up{steps}."),
        (r"^((conv\d_\d|up\d)\.conv\d)\.0\.", r"\1."),
        (r"^(conv\d_\d|up\d)\.conv(\d)\.1\.", r"\1.bn\2."),
        (r"^segmentation_head\.0\.", "final."),
    ]


for _steps in SMP_STEPS:  # the deepest first: its names are those of the others, and more
    source(
        "smp",
        has=rf"^decoder\.blocks\.x_0_{_steps - 1}\.conv1\.0\.",
        prepare=with_plain_names,
        not_run=smp_not_run,
        translate=translate,
        rename=smp_unetplusplus_names(_steps),
        # a VGG has a centre that is never run
        ignore=[r"^decoder\.center\.", r"^classification_head\."],
    )(smp_unetplusplus)


def _smp(
    network: str, shapes: Shapes, num_classes: int, input_shape: tuple, options: dict
) -> keras.Model:
    """A network of segmentation_models.pytorch; `options` have the variant."""
    options = dict(options)
    backbone, backbone_options = encoder(shapes, input_shape, options.pop("encoder"))
    arguments = {
        "backbone": backbone,
        "backbone_weights": None,
        "backbone_options": backbone_options,
        "preprocessing": None,
        "upsampling": "nearest",
    }
    return models.build(network, input_shape, num_classes, **arguments | options)


def _unet(shapes: Shapes, input_shape: tuple, options: dict, variant: UNetVariant) -> keras.Model:
    """The U-Net of tensors in milesial's names.

    Args:
        variant: details that the shapes do not determine.
    """
    transposed = "up1.up.weight" in shapes
    first = ["inc", *(f"down{level}.maxpool_conv.1" for level in range(1, DEPTH + 1))]
    arguments = {
        "widths": tuple(shapes[f"{name}.double_conv.0.weight"][0] for name in first),
        "decoder_widths": _decoder_widths(shapes, DEPTH),
        "upsampling": "transposed" if transposed else "bilinear",
        "preprocessing": None,
    }
    variant = replace(
        variant,
        norm="inc.double_conv.1.weight" in shapes,
        use_bias="inc.double_conv.0.bias" in shapes,
    )
    options = in_variant("unet", variant, options)
    num_classes = shapes["outc.conv.weight"][0]
    return models.build("unet", input_shape, num_classes, **arguments | options)


def _decoder_widths(shapes: Shapes, steps: int) -> tuple[tuple[int, int], ...]:
    """(middle, last) channels per step up."""
    return tuple(
        tuple(shapes[f"up{step}.conv.double_conv.{i}.weight"][0] for i in (0, 3))
        for step in range(1, steps + 1)
    )
