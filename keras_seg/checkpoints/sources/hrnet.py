"""Checkpoints of HRNet and OCR in the authors' repositories."""

from __future__ import annotations

import re
from dataclasses import replace

import keras
import numpy as np

from keras_seg import models
from keras_seg.backbones.hrnet import variant_from_shapes
from keras_seg.checkpoints.registry import Shapes, source
from keras_seg.checkpoints.sources.shared import grid_of, in_variant, resnet_name
from keras_seg.models.variants import OCRNetVariant

CONTEXT = "ocr_distri_head.object_context_block"
INPLACE_ABN_OFFSET = 1e-5
"""InPlaceABN scales by |gamma| plus this."""
WRAPPED = {
    # the authors save the network together with its loss
    "rename": [(r"^model\.", "")],
    "ignore": [r"^(loss|criterion)\b"],
}
OPENSEG_NAMES = [
    (r"^backbone\.", ""),
    # ASPOCRNet: the same parts within a pyramid
    (r"^asp_ocr_head\.context\.([01])\.", r"conv3x3_ocr.\1."),
    (r"^asp_ocr_head\.(context\.2\.)?(?=object_context_block|conv_bn_dropout)", "ocr_distri_head."),
    (r"^(asp_ocr_head\.conv\d\.1)\.0\.", r"\1."),
    (r"^dsn_head\.", "aux_head."),
    (r"^conv_?3x3\.", "conv3x3_ocr."),
    (r"^spatial_ocr_head\.", "ocr_distri_head."),
    (r"^head\.", "cls_head."),
    # norm and ReLU in one module (InPlaceABN) or in a sequence of two
    (r"^(aux_head|conv3x3_ocr)\.1\.0\.", r"\1.1."),
    (r"(\.f_\w+\.[13]|conv_bn_dropout\.1)\.(weight|bias|running_\w+)$", r"\1.0.\2"),
    # without a dropout before it on HRNet
    (r"^aux_head\.2\.", "aux_head.3."),
]
"""openseg.pytorch's names → those of HRNet-OCR, which our layers have."""


def from_inplace_abn(tensors: dict) -> dict:
    """The tensors of the same network with plain batch norms: gamma becomes |gamma| + 1e-5."""
    return {
        name: np.abs(array) + np.float32(INPLACE_ABN_OFFSET)
        if array.ndim == 1 and name.endswith(".weight")
        else array
        for name, array in tensors.items()
    }


def with_plain_norms(tensors: dict) -> dict:
    """Converts the authors' files of PyTorch 0.4, whose InPlaceABN norms count no batches."""
    counted = any(name.endswith("num_batches_tracked") for name in tensors)
    return tensors if counted else from_inplace_abn(tensors)


def openseg_tensors(tensors: dict) -> dict:
    """Adds a bias of zeros to scores without one (ASP-OCR on HRNet), and renames a plain stem.

    openseg's ResNets have the same name for the deep stem and for the 7x7 convolution.
    """
    for scores in ("cls_head", "aux_head.2"):
        if f"{scores}.weight" in tensors and f"{scores}.bias" not in tensors:
            zeros = np.zeros(len(tensors[f"{scores}.weight"]), "float32")
            tensors = tensors | {f"{scores}.bias": zeros}
    first = tensors.get("backbone.resinit.conv1.weight")
    if first is None or first.shape[-1] != 7:
        return tensors
    return {re.sub(r"^backbone\.resinit\.", "", name): array for name, array in tensors.items()}


@source("hrnet", **WRAPPED, prepare=with_plain_norms)
def hrnet(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """HRNet/HRNet-Semantic-Segmentation, pytorch-v1.1; `align_corners=True` for other branches."""
    grid, options = grid_of(options, align_corners=False)
    variant = variant_from_shapes(shapes)
    mixed = shapes["last_layer.0.weight"][1]
    arguments = {
        "backbone": variant,
        "backbone_weights": None,
        "head": "v1" if mixed == variant.width else "v2",
        "resize_grid": grid,
        "preprocessing": None,
        "upsample_logits": False,
    }
    num_classes = shapes["last_layer.3.weight"][0]
    return models.build("hrnet", input_shape, num_classes, **arguments | options)


@source("hrnet-ocr", **WRAPPED, prepare=with_plain_norms)
def hrnet_ocr(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """HRNet/HRNet-Semantic-Segmentation, branch HRNet-OCR; its plain HRNets are read too."""
    if "cls_head.weight" not in shapes:
        return hrnet(shapes, input_shape, options)
    arguments = {"backbone": variant_from_shapes(shapes)}
    return _ocrnet(shapes, input_shape, arguments | options, _ocr_variant(shapes))


@source(
    "openseg",
    has=r"^(dsn|aux)_head\.1\.0\.weight$",
    rename=OPENSEG_NAMES,
    prepare=openseg_tensors,
)
def openseg(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """openseg-group/openseg.pytorch: OCR and ASP-OCR on dilated ResNets and on HRNet-W48."""
    return _openseg(shapes, input_shape, options, negative_slope=0.0)


def _openseg(
    shapes: Shapes, input_shape: tuple, options: dict, *, negative_slope: float
) -> keras.Model:
    arguments, variant = {}, replace(_ocr_variant(shapes), negative_slope=negative_slope)
    on_hrnet = "transition1.0.0.weight" in shapes
    if "asp_ocr_head.conv2.0.weight" in shapes:
        arguments |= {"pyramid_rates": (24, 48, 72) if on_hrnet else (12, 24, 36), "dropout": 0.1}
    if on_hrnet:
        arguments["backbone"] = variant_from_shapes(shapes)
    else:
        arguments["backbone"] = resnet_name(shapes)
        variant = replace(
            variant,
            backbone_width=shapes["layer1.0.conv1.weight"][0],
            deep_stem="openseg" if "resinit.conv1.weight" in shapes else None,
            ceil_pool=True,
        )
    return _ocrnet(shapes, input_shape, arguments | options, variant)


@source(
    "openseg",
    has=r"^(dsn|aux)_head\.1\.weight$",
    rename=OPENSEG_NAMES,
    prepare=lambda tensors: openseg_tensors(from_inplace_abn(tensors)),
)
def openseg_inplace_abn(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """The same in the master branch: norm and leaky ReLU of the heads are one module."""
    return _openseg(shapes, input_shape, options, negative_slope=0.01)


def _ocr_variant(shapes: Shapes) -> OCRNetVariant:
    """The fields of the variant that the tensors of the head determine."""
    return OCRNetVariant(
        auxiliary_channels=shapes["aux_head.0.weight"][0],
        auxiliary_kernel=shapes["aux_head.0.weight"][-1],
        transform_bias=f"{CONTEXT}.f_pixel.0.bias" in shapes,
    )


def _ocrnet(
    shapes: Shapes, input_shape: tuple, options: dict, variant: OCRNetVariant
) -> keras.Model:
    """The OCRNet of these tensors, with scores at the stride of the encoder."""
    arguments = {
        "backbone_weights": None,
        "auxiliary_head": True,
        "mid_channels": shapes["conv3x3_ocr.0.weight"][0],
        "key_channels": shapes[f"{CONTEXT}.f_pixel.0.weight"][0],
        "preprocessing": None,
        "upsample_logits": False,
    }
    options = in_variant("ocrnet", variant, options, align_corners=True)
    num_classes = shapes["cls_head.weight"][0]
    return models.build("ocrnet", input_shape, num_classes, **arguments | options)
