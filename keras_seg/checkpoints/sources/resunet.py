"""Checkpoints of ResUNet and ResUNet++."""

from __future__ import annotations

import keras

from keras_seg import models
from keras_seg.checkpoints.keras_layout import by_order_of_creation
from keras_seg.checkpoints.registry import Shapes, source
from keras_seg.checkpoints.sources.shared import in_variant
from keras_seg.models.variants import ResUNetPlusPlusVariant, ResUNetVariant

KERAS_EPSILON = 1e-3
"""Keras' default epsilon of batch norm, with which its own weights were trained."""


@source("rishikksh20", has=r"^bridge\.")
def rishikksh20_resunet(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """core/res_unet.py: 3x3 shortcuts, learned up-sampling."""
    variant = ResUNetVariant(shortcut_kernel=3, shortcut_norm="units")
    return _resunet(shapes, input_shape, {"upsampling": "transposed"} | options, variant)


@source(
    "rishikksh20",
    has=r"^aspp_bridge\.",
    rename=[
        (r"^input_layer\.", "c1.c1."),
        (r"^input_skip\.", "c1.c2."),
        *((rf"^squeeze_excite{i}\.fc\.", f"c{i + 1}.attn.net.") for i in (1, 2, 3)),
        *((rf"^residual_conv{i}\.", f"c{i + 1}.") for i in (1, 2, 3)),
        (r"^up_residual_conv(\d)\.", r"d\1.r1."),
        (r"\.conv_block\.", ".c1."),
        (r"\.conv_skip\.", ".c2."),
        (r"^attn(\d)\.conv_encoder\.", r"d\1.a1.g_conv."),
        (r"^attn(\d)\.conv_decoder\.", r"d\1.a1.x_conv."),
        (r"^attn(\d)\.conv_attn\.", r"d\1.a1.gc_conv."),
        (r"^aspp_bridge\.", "b1."),
        (r"^aspp_out\.", "aspp."),
        (r"\.aspp_block(\d)\.2\.", r".c\1.1."),
        (r"\.aspp_block(\d)\.", r".c\1."),
        (r"^(b1|aspp)\.output\.", r"\1.c4."),
        (r"^output_layer\.0\.", "output."),
    ],
)
def rishikksh20_resunetplusplus(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """core/res_unet_plus.py, which differs from the authors' network in nearly every block."""
    variant = ResUNetPlusPlusVariant(
        shortcut_kernel=3,
        shortcut_norm="units",
        squeeze_excite="before_strided",
        attention="single",
        aspp_merge="concat",
    )
    arguments = {
        "upsampling": "bilinear",
        "squeeze_ratio": _squeeze_ratio(shapes, usual=16),
        "aspp_rates": (6, 12, 18),
    }
    return _resunetplusplus(shapes, input_shape, arguments | options, variant)


@source(
    "nikhilroxtomar",
    has=r"^c11\.",
    rename=[
        (r"^c11\.", "input_layer.0."),
        (r"^br1\.bn\.", "input_layer.1."),
        (r"^c12\.", "input_layer.3."),
        (r"^c13\.", "input_skip.0."),
        (r"^r2\.", "residual_conv_1."),
        (r"^r3\.", "residual_conv_2."),
        (r"^r4\.", "bridge."),
        (r"^d(\d)\.r\.", r"up_residual_conv\1."),
        (r"\.b1\.bn\.", ".conv_block.0."),
        (r"\.c1\.", ".conv_block.2."),
        (r"\.b2\.bn\.", ".conv_block.3."),
        (r"\.c2\.", ".conv_block.5."),
        (r"\.s\.", ".conv_skip.0."),
        (r"^output\.", "output_layer.0."),
    ],
)
def nikhilroxtomar(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """Semantic-Segmentation-Architecture, PyTorch/resunet.py: the paper's 1x1 shortcuts."""
    variant = ResUNetVariant(resize_grid="align_corners")
    return _resunet(shapes, input_shape, {"upsampling": "bilinear"} | options, variant)


@source("debeshjha", has=r"^c1\.attn\.")
def debeshjha(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """ResUNetPlusPlus, resunet++_pytorch.py."""
    return _debeshjha(shapes, input_shape, options, ResUNetPlusPlusVariant())


def debeshjha_keras_names() -> dict[str, list[str]]:
    """Layers of m_resunet.py by kind, in the order in which its code creates them."""
    conv, norm, dense = [], [], []

    def unit(name: str) -> None:
        first, second, norms = ("0", "3", ["1"]) if name == "c1" else ("2", "5", ["0", "3"])
        conv.extend([f"{name}.c1.{first}", f"{name}.c1.{second}", f"{name}.c2.0"])
        norm.extend([*(f"{name}.c1.{position}" for position in norms), f"{name}.c2.1"])
        dense.extend([f"{name}.attn.net.0", f"{name}.attn.net.2"])

    def pyramid(name: str) -> None:
        for branch in (2, 3, 4, 1):  # rates 6, 12, 18, then 1
            conv.append(f"{name}.c{branch}.0")
            norm.append(f"{name}.c{branch}.1")
        conv.append(f"{name}.c5")

    for name in ("c1", "c2", "c3", "c4"):
        unit(name)
    pyramid("b1")
    for name in ("d1", "d2", "d3"):
        for path in ("g_conv", "x_conv", "gc_conv"):
            norm.append(f"{name}.a1.{path}.0")
            conv.append(f"{name}.a1.{path}.2")
        unit(f"{name}.r1")
    pyramid("aspp")
    conv.append("output")
    return {"conv2d": conv, "batch_normalization": norm, "dense": dense}


@source(
    "debeshjha",
    has=r"(^|/)conv2d(_\d+)?[./]",
    prepare=lambda tensors: by_order_of_creation(tensors, debeshjha_keras_names()),
)
def debeshjha_keras(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """ResUNetPlusPlus, m_resunet.py: the same network, padded and normalised as Keras does."""
    variant = ResUNetPlusPlusVariant(padding="keras_same", batch_norm_epsilon=KERAS_EPSILON)
    return _debeshjha(shapes, input_shape, options, variant)


def _debeshjha(
    shapes: Shapes, input_shape: tuple, options: dict, variant: ResUNetPlusPlusVariant
) -> keras.Model:
    arguments = {"squeeze_ratio": _squeeze_ratio(shapes, usual=8)}
    return _resunetplusplus(shapes, input_shape, arguments | options, variant)


def _resunet(
    shapes: Shapes, input_shape: tuple, options: dict, variant: ResUNetVariant
) -> keras.Model:
    arguments = {"widths": _resunet_widths(shapes), "preprocessing": None}
    options = in_variant("resunet", variant, options)
    num_classes = shapes["output_layer.0.weight"][0]
    return models.build("resunet", input_shape, num_classes, **arguments | options)


def _resunetplusplus(
    shapes: Shapes, input_shape: tuple, options: dict, variant: ResUNetPlusPlusVariant
) -> keras.Model:
    arguments = {"widths": _resunetplusplus_widths(shapes), "preprocessing": None}
    options = in_variant("resunetplusplus", variant, options)
    num_classes = shapes["output.weight"][0]
    return models.build("resunetplusplus", input_shape, num_classes, **arguments | options)


def _out_channels(shapes: Shapes, *names: str) -> tuple[int, ...]:
    return tuple(shapes[f"{name}.weight"][0] for name in names)


def _resunet_widths(shapes: Shapes) -> tuple[int, ...]:
    units = ("residual_conv_1", "residual_conv_2", "bridge")
    return _out_channels(shapes, "input_layer.0", *(f"{unit}.conv_block.2" for unit in units))


def _resunetplusplus_widths(shapes: Shapes) -> tuple[int, ...]:
    units = ("c2.c1.2", "c3.c1.2", "c4.c1.2")
    return _out_channels(shapes, "c1.c1.0", *units, "b1.c1.0")


def _squeeze_ratio(shapes: Shapes, usual: int) -> int:
    """The ratio that fits all squeeze-and-excitations; the usual one if it fits."""
    sizes = [shape for name, shape in shapes.items() if name.endswith(".attn.net.0.weight")]
    for ratio in (usual, *range(1, 1 + max(channels for _, channels in sizes))):
        if all(max(1, channels // ratio) == hidden for hidden, channels in sizes):
            return ratio
    return usual
