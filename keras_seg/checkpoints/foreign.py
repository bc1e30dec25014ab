"""Recognises networks that no source reads, by tensors that only they have."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

SMP = "segmentation_models.pytorch"
NETWORKS = (
    # (pattern of one of its tensors, what it is)
    (r"^decoder\.center\.top_conv\.", f"MAnet of {SMP}"),
    (r"^decoder\.blocks\.0\.block\.0\.", f"Linknet of {SMP}"),
    (r"^decoder\.p5\.(weight|bias)$", f"FPN of {SMP}"),
    (r"^decoder\.feature_norms\.", f"UPerNet of {SMP}"),
    (r"^decoder\.psp\.blocks\.0\.", f"PSPNet of {SMP}"),
    (r"^decoder\.(fpa|gau\d)\.", f"PAN of {SMP}"),
    (r"^decoder\.(aspp|0)\.convs\.", f"DeepLabV3 (without plus) of {SMP}"),
    (r"^decoder\.mlp_stage\.", f"Segformer of {SMP}"),
    (r"^decoder\.projection_blocks\.", f"DPT of {SMP}"),
    (r"^segformer\.encoder\.", "SegFormer of Hugging Face's transformers"),
    (r"^(mask2former|maskformer|model\.pixel_level_module)\.", "MaskFormer of Hugging Face"),
    (r"^decode_head\.", "a network of MMSegmentation or Hugging Face's transformers"),
    (r"^(0|1|2)\.(conv|cv1)\.", "YOLO of Ultralytics"),
    (r"^(image_encoder|prompt_encoder|mask_decoder)\.", "Segment Anything"),
    (r"^0\.conv\.unit0\.|^model\.0\.conv\.unit0\.", "UNet of MONAI"),
)
TORCHVISION_HEADS = (
    (r"^classifier\.0\.convs\.4\.", "DeepLabV3 of torchvision"),
    (r"^classifier\.cbr\.", "LRASPP of torchvision"),
    (r"^classifier\.4\.(weight|bias)$", "FCN of torchvision"),
)
"""Heads of networks with tensors under `backbone.`."""
ENCODERS = (
    (r"^_conv_stem\.", "EfficientNet"),
    (r"^blocks\.\d+\.\d+\.conv_(dw|pw|pwl)\.\d\.", "MixNet"),
    (r"^features[._](denseblock\d|conv0|norm5)\b", "DenseNet"),
    (r"^features[._]conv\d_\d", "DPN"),
    (r"^features\.\d+\.conv_dw\.", "ReXNet"),
    (r"^features\.\d+\.(conv\.weight|branch\d)", "Inception v4"),
    (r"^(conv2d_1a|mixed_5b|repeat)\.", "Inception ResNet v2"),
    (r"^s\d\.b\d+\.conv1\.", "RegNet"),
    (r"\.rbr_(conv|scale|skip)\.", "MobileOne"),
    (r"^patch_embed\d\.", "Mix Transformer"),
    (r"^patch_embed\.", "vision transformer"),
    (r"\.se_module\.|^layer\d\.\d+\.se\.", "squeeze-and-excitation ResNet"),
    (r"^layer\d\.\d+\.conv\d\.(paths|attn)\.", "SKNet"),
    (r"^layer\d\.\d+\.conv\d\.fc1\.", "ResNeSt"),
    (r"^layer\d\.\d+\.convs\.", "Res2Net"),
    (r"^layer\d\.\d+\.downsample\.2\.", "ResNet-D"),
    (r"\.conv_(mid|concat)\.", "VoVNet"),
    (r"^stages[._]\d+\.\d+\.transformer\.", "MobileViT"),
    (r"^stages?[._]\d+\.(\d+\.)?conv2_kxk", "GENet, or another of timm's ByobNet"),
    (r"^stages[._]\d+\.blocks\.\d+\.(mlp\.)?grn\.", "ConvNeXt V2"),
    (r"^(base_layer|level\d)\.", "DLA"),
    (r"^stem\.2\.(weight|bias)$", "ConvNeXt with an overlapping stem (`_ols`)"),
    (r"^norm_pre\.", "ConvNeXt with its norm before the pooling (`_hnf`)"),
    (r"\.xca\.", "EdgeNeXt"),
    (r"\.ghost1\.", "GhostNet"),
    (r"^stem\.conv1\.conv\.", "DarkNet or CSPNet"),
    (r"^stem\.\d\.conv_kxk\.", "FastViT"),
    (r"^stem\.conv_kxk\.", "MobileOne or RepVGG"),
    (r"^blocks\.6\.0\.se\.conv_reduce\.", "EfficientNet"),
)


def network(names: Iterable[str]) -> str | None:
    """Name and origin of a network that no source reads; None if none is recognised."""
    names = [*names]
    heads = TORCHVISION_HEADS if _any(r"^backbone\.", names) else ()
    return _first((*NETWORKS, *heads), names)


def encoder(shapes: Mapping[str, tuple]) -> str | None:
    """The family of an encoder that keras_seg does not have; None if none is recognised.

    Args:
        shapes: shapes of its tensors, by their names in timm, torchvision or Hugging Face.
    """
    if name := _first(ENCODERS, shapes):
        return name
    if "stages.0.blocks.0.norm.weight" in shapes and "stages.0.blocks.0.norm.bias" not in shapes:
        return "ConvNeXt with RMS norms"
    if "layer1.0.bn1.weight" in shapes and not _any(r"running_mean$", shapes):
        return "ResNet with group norms"
    stem = [shapes[name][0] for name in ("conv1.0.weight", "conv1.6.weight") if name in shapes]
    if len(stem) == 2 and 2 * stem[0] != stem[1]:
        return f"ResNets with a stem of {stem[0]} and {stem[1]} channels"
    kernel, last = (shapes.get(f"layer1.0.conv{i}.weight") for i in (2, 3))
    if kernel is None or last is None or len(kernel) != 4:
        return None
    if kernel[0] != kernel[1]:
        return f"ResNeXt of {kernel[0] // kernel[1]} groups"
    return "Wide ResNet" if 4 * kernel[0] != last[0] else None


def _first(table: Iterable[tuple[str, str]], names: Iterable[str]) -> str | None:
    return next((what for pattern, what in table if _any(pattern, names)), None)


def _any(pattern: str, names: Iterable[str]) -> bool:
    return any(re.search(pattern, name) for name in names)
