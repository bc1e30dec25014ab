"""Checkpoints of DeepLabV3+: three heads, each on several encoders."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import keras

from keras_seg import blocks, models
from keras_seg.backbones.drn import drn_maps
from keras_seg.backbones.hrnet import hrnet_maps, variant_from_shapes
from keras_seg.backbones.mobilenetv2 import STAGES, STEM_CHANNELS, names_from_torchvision
from keras_seg.backbones.vainf_xception import vainf_xception_maps
from keras_seg.checkpoints.registry import Shapes, source
from keras_seg.checkpoints.smp_options import translate
from keras_seg.checkpoints.sources.shared import in_variant, resnet_name
from keras_seg.checkpoints.sources.smp_encoders import encoder, with_plain_names
from keras_seg.models.hrnet import concat_branches
from keras_seg.models.variants import DEEPLABV3PLUS_VARIANTS as VARIANTS

JFZHANG95_NAMES = [
    (r"^backbone\.", ""),
    (r"^aspp\.conv1\.", "aspp.project."),
    (r"^aspp\.bn1\.", "aspp.project_bn."),
    *((rf"^aspp\.aspp{i + 1}\.atrous_conv\.", f"aspp.conv{i}.") for i in range(4)),
    *((rf"^aspp\.aspp{i + 1}\.bn\.", f"aspp.conv{i}_bn.") for i in range(4)),
    (r"^aspp\.global_avg_pool\.1\.", "aspp.pool_conv."),
    (r"^aspp\.global_avg_pool\.2\.", "aspp.pool_bn."),
    (r"^decoder\.conv1\.", "decoder.low_level."),
    (r"^decoder\.bn1\.", "decoder.low_level_bn."),
    (r"^decoder\.last_conv\.0\.", "decoder.conv0."),
    (r"^decoder\.last_conv\.1\.", "decoder.conv0_bn."),
    (r"^decoder\.last_conv\.4\.", "decoder.conv1."),
    (r"^decoder\.last_conv\.5\.", "decoder.conv1_bn."),
    (r"^decoder\.last_conv\.8\.", "classifier."),
]
VAINF_NAMES = [
    (r"^backbone\.(low|high)_level_features\.", "features."),
    (r"^backbone\.", ""),
    (r"^classifier\.project\.0\.", "decoder.low_level."),
    (r"^classifier\.project\.1\.", "decoder.low_level_bn."),
    (r"^classifier\.aspp\.project\.0\.", "aspp.project."),
    (r"^classifier\.aspp\.project\.1\.", "aspp.project_bn."),
    (r"^classifier\.aspp\.convs\.4\.1\.", "aspp.pool_conv."),
    (r"^classifier\.aspp\.convs\.4\.2\.", "aspp.pool_bn."),
    (r"^classifier\.aspp\.convs\.([0-3])\.0\.", r"aspp.conv\1."),
    (r"^classifier\.aspp\.convs\.([0-3])\.1\.", r"aspp.conv\1_bn."),
    (r"^classifier\.classifier\.0\.", "decoder.conv0."),
    (r"^classifier\.classifier\.1\.", "decoder.conv0_bn."),
    (r"^classifier\.classifier\.3\.", "classifier."),
    # after the repository's `convert_to_separable_conv`
    (r"^(aspp\.conv[123]|decoder\.conv0)\.body\.0\.", r"\1.depthwise."),
    (r"^(aspp\.conv[123]|decoder\.conv0)\.body\.1\.", r"\1.pointwise."),
]
SMP_NAMES = [
    (r"^encoder\.", ""),
    (r"^decoder\.aspp\.0\.convs\.0\.0\.", "aspp.conv0."),
    (r"^decoder\.aspp\.0\.convs\.0\.1\.", "aspp.conv0_bn."),
    (r"^decoder\.aspp\.0\.convs\.4\.1\.", "aspp.pool_conv."),
    (r"^decoder\.aspp\.0\.convs\.4\.2\.", "aspp.pool_bn."),
    (r"^decoder\.aspp\.0\.convs\.([123])\.0\.0\.", r"aspp.conv\1.depthwise."),
    (r"^decoder\.aspp\.0\.convs\.([123])\.0\.1\.", r"aspp.conv\1.pointwise."),
    (r"^decoder\.aspp\.0\.convs\.([123])\.0\.", r"aspp.conv\1."),
    (r"^decoder\.aspp\.0\.convs\.([123])\.1\.", r"aspp.conv\1_bn."),
    (r"^decoder\.aspp\.0\.project\.0\.", "aspp.project."),
    (r"^decoder\.aspp\.0\.project\.1\.", "aspp.project_bn."),
    (r"^decoder\.aspp\.1\.0\.", "aspp.refine.depthwise."),
    (r"^decoder\.aspp\.1\.1\.", "aspp.refine.pointwise."),
    (r"^decoder\.aspp\.2\.", "aspp.refine_bn."),
    (r"^decoder\.block1\.0\.", "decoder.low_level."),
    (r"^decoder\.block1\.1\.", "decoder.low_level_bn."),
    (r"^decoder\.block2\.0\.0\.", "decoder.conv0.depthwise."),
    (r"^decoder\.block2\.0\.1\.", "decoder.conv0.pointwise."),
    (r"^decoder\.block2\.1\.", "decoder.conv0_bn."),
    (r"^segmentation_head\.0\.", "classifier."),
]
SMP_RATES = (12, 24, 36)
"""Dilations of the pyramid, at every output stride."""


def jfzhang95_xception_names() -> list[tuple[str, str]]:
    """(pattern, replacement) pairs to the names of `keras_seg.backbones.xception`."""
    units = {f"conv{i + 2}": f"blocks.20.stack.conv{i}" for i in (1, 2, 3)}
    norms = {f"bn{i + 2}": f"{unit}.bn_pw" for i, unit in enumerate(units.values(), start=1)}
    others = {f"conv{i + 1}": f"stem.{i}.conv" for i in (0, 1)}
    others |= {f"bn{i + 1}": f"stem.{i}.bn" for i in (0, 1)}
    for block in range(1, 21):
        ours = f"blocks.{block - 1}"
        others |= {f"block{block}.skip": f"{ours}.shortcut.conv"}
        others |= {f"block{block}.skipbn": f"{ours}.shortcut.bn"}
        # ReLUs have places in the list too; the first two blocks begin without one
        for i, place in enumerate((0, 3, 6) if block < 3 else (1, 4, 7), start=1):
            units[f"block{block}.rep.{place}"] = f"{ours}.stack.conv{i}"
            norms[f"block{block}.rep.{place + 1}"] = f"{ours}.stack.conv{i}.bn_pw"
    for theirs, unit in units.items():
        others |= {f"{theirs}.conv1": f"{unit}.conv_dw", f"{theirs}.bn": f"{unit}.bn_dw"}
        others |= {f"{theirs}.pointwise": f"{unit}.conv_pw"}
    return [(rf"^{theirs}\.(?=\w+$)", f"{ours}.") for theirs, ours in (others | norms).items()]


def jfzhang95_mobilenet_names() -> list[tuple[str, str]]:
    """(pattern, replacement) pairs to torchvision's names, for one flat list of layers."""
    places = {0: "0.0", 1: "0.1", 3: "1.0", 4: "1.1", 6: "2", 7: "3"}
    first = {0: "0.0", 1: "0.1", 3: "1", 4: "2"}
    return [
        (r"^(low|high)_level_features\.", "features."),
        *(
            (rf"^features\.1\.conv\.{i}\.(?=[a-z])", f"features.1.conv.{j}.")
            for i, j in first.items()
        ),
        *(
            (rf"^features\.((?!1\.)\d+)\.conv\.{i}\.(?=[a-z])", rf"features.\1.conv.{j}.")
            for i, j in places.items()
        ),
    ]


@source("jfzhang95", has=r"^backbone\.layer1\.0\.conv1\.", rename=JFZHANG95_NAMES)
def jfzhang95(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """jfzhang95/pytorch-deeplab-xception on ResNet-101; scores at stride 4."""
    options = jfzhang95_options({"multi_grid": (1, 2, 4)} | options)
    return on_resnet(shapes, input_shape, options, first_block="own")


@source(
    "jfzhang95",
    has=r"^backbone\.block20\.",
    rename=[*JFZHANG95_NAMES, *jfzhang95_xception_names()],
)
def jfzhang95_xception(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """The same on an aligned Xception, whose batch norms have PyTorch's epsilon."""
    arguments = {
        "backbone": "xception65",
        "backbone_options": {"jfzhang95": True, "epsilon": 1e-5},
    }
    return deeplabv3plus(shapes, input_shape, arguments | jfzhang95_options(options))


@source(
    "jfzhang95",
    has=r"^backbone\.low_level_features\.",
    rename=[*JFZHANG95_NAMES, *jfzhang95_mobilenet_names(), *names_from_torchvision()],
    ignore=[r"^backbone\.features\."],  # the two halves once more
)
def jfzhang95_mobilenet(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """The same on MobileNetV2, where every stage has the dilation of the stage before."""
    options = jfzhang95_options(options)
    reached, dilations = 2, []
    for *_, stride in STAGES:
        dilations.append((max(1, reached // options.get("output_stride", 16)),) * 2)
        reached *= stride
    return on_mobilenet(shapes, input_shape, options, dilations=dilations)


@source("jfzhang95", has=r"^backbone\.layer0\.", rename=JFZHANG95_NAMES)
def jfzhang95_drn(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """The same on DRN-D-54. As in the repository, the output stride is always 8."""
    options = jfzhang95_options(options) | {"output_stride": 8}
    return on_maps(shapes, input_shape, options, drn_maps)


def jfzhang95_options(options: dict) -> dict:
    """The options of all networks of jfzhang95."""
    return in_variant("deeplabv3plus", VARIANTS["jfzhang95"], options, align_corners=True)


@source(
    "vainf",
    has=r"^backbone\.transition1\.",
    rename=[
        *VAINF_NAMES,
        # every new branch has its place in the list of all, as in the authors' code
        *((rf"^transition{i}\.(?=\d\.\w+$)", rf"transition{i}.{i}.0.") for i in (2, 3)),
    ],
)
def vainf_hrnet(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """VainF/DeepLabV3Plus-Pytorch on an HRNet: all four branches, and the first stage as skip."""
    variant = variant_from_shapes(shapes)

    def maps(x: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        branches = hrnet_maps(x, variant, resize="nearest", first_relu=False)
        branches = [branches[f"stride_{stride}"] for stride in (4, 8, 16, 32)]
        stem = keras.Model(x, branches).get_layer(f"layer1.{variant.stem_blocks - 1}.act").output
        return {"stride_4": stem, "stride_32": concat_branches(branches, "half_pixel")}

    # decides the pyramid's rates only; the encoder has stride 4
    options = {"output_stride": 8} | options
    return on_maps(shapes, input_shape, vainf_options(shapes, options), maps)


@source("vainf", has=r"^backbone\.layer1\.", rename=VAINF_NAMES)
def vainf(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """VainF/DeepLabV3Plus-Pytorch on ResNets; scores at stride 4."""
    options = vainf_options(shapes, options)
    return on_resnet(shapes, input_shape, options, first_block="previous")


@source("vainf", has=r"^backbone\.block12\.", rename=VAINF_NAMES)
def vainf_xception(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """The same on the original Xception, whose maps are smaller than the image over the stride."""
    options = {"output_stride": 16} | vainf_options(shapes, options)
    maps = partial(vainf_xception_maps, output_stride=options["output_stride"])
    return on_maps(shapes, input_shape, options, maps)


@source(
    "vainf",
    has=r"^backbone\.low_level_features\.",
    rename=[*VAINF_NAMES, *names_from_torchvision()],
)
def vainf_mobilenet(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """The same on MobileNetV2, whose first convolution has no padding."""
    options = vainf_options(shapes, options)
    return on_mobilenet(shapes, input_shape, options, stem_padding="valid")


@source(
    "smp",
    has=r"^decoder\.block2\.0\.0\.",
    prepare=with_plain_names,
    translate=translate,
    ignore=[r"^classification_head\."],
    rename=[*SMP_NAMES, *names_from_torchvision()],
)
def smp_deeplabv3plus(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """DeepLabV3Plus of segmentation_models.pytorch on an encoder of its own or of timm's."""
    variant = VARIANTS["smp"]
    if "aspp.conv1.weight" in shapes:
        variant = replace(variant, pyramid="full")
    options = in_variant("deeplabv3plus", variant, options, align_corners=True)
    backbone, backbone_options = encoder(shapes, input_shape, options.pop("encoder"))
    if "multi_grid" in options:
        backbone_options = backbone_options | {"multi_grid": options.pop("multi_grid")}
    arguments = {
        "aspp_rates": SMP_RATES,
        "upsample_logits": True,
        "backbone": backbone,
        "backbone_options": backbone_options,
    }
    return deeplabv3plus(shapes, input_shape, arguments | options)


def vainf_options(shapes: Shapes, options: dict) -> dict:
    """The options of all networks of VainF, whose 3x3 convolutions may be separable."""
    variant = VARIANTS["vainf"]
    if "aspp.conv1.pointwise.weight" in shapes:
        variant = replace(variant, pyramid="plain_separable", decoder="plain_separable")
    return in_variant("deeplabv3plus", variant, options, align_corners=False)


def on_resnet(
    shapes: Shapes, input_shape: tuple, options: dict, *, first_block: str
) -> keras.Model:
    """DeepLabV3+ on the ResNet with these tensors."""
    encoder = {
        "width": shapes["conv1.weight"][0],
        "first_block": first_block,
        "multi_grid": options.get("multi_grid"),
    }
    options = {name: value for name, value in options.items() if name != "multi_grid"}
    arguments = {"backbone": resnet_name(shapes), "backbone_options": encoder}
    return deeplabv3plus(shapes, input_shape, arguments | options)


def on_mobilenet(shapes: Shapes, input_shape: tuple, options: dict, **encoder: Any) -> keras.Model:
    """DeepLabV3+ on a MobileNetV2 without its head, padded before each block."""
    encoder |= {"alpha": _alpha(shapes), "with_head": False, "pad_first": True}
    arguments = {"backbone": "mobilenetv2_timm", "backbone_options": encoder}
    return deeplabv3plus(shapes, input_shape, arguments | options)


def on_maps(shapes: Shapes, input_shape: tuple, options: dict, maps: Callable) -> keras.Model:
    """DeepLabV3+ on the maps {"stride_4": ..., ...} that a function computes from the image."""
    image, x = blocks.image_input(input_shape, preprocessing=None)
    return deeplabv3plus(shapes, input_shape, {"backbone": keras.Model(image, maps(x))} | options)


def deeplabv3plus(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """Pyramid and decoder with the widths of the tensors, on an encoder."""
    arguments = {
        "backbone_weights": None,
        "channels": shapes["aspp.project.weight"][0],
        "preprocessing": None,
        "upsample_logits": False,
    }
    num_classes = shapes["classifier.weight"][0]
    return models.build("deeplabv3plus", input_shape, num_classes, **arguments | options)


def _alpha(shapes: Shapes) -> float:
    return shapes["conv_stem.weight"][0] / STEM_CHANNELS
