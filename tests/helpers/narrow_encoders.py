"""The encoders that tests build, and options that make them small."""

from typing import Any

ENCODERS = (
    "resnet18",
    "resnet50c",
    "vgg16_bn",
    "xception41",
    "hrnet_w18_small_v1",
    "mobilenetv2_timm",
    "mobilenetv3_small_timm",
    "tf_mobilenetv3_small_minimalistic_timm",
    "tf_efficientnetv2_b0_timm",
    "efficientnet_lite0",
    "convnext_tiny_timm",
    "xception_timm",
    "mobilenetv2",
    "mobilenetv3_small",
    "efficientnetv2_b0",
    "convnext_tiny",
    "keras_xception",
    "keras_resnet50",
)
"""The smallest encoder of each row of the table of backbones; larger ones have the same layers."""
NARROW = {
    "resnet": {"width": 8},
    "vgg": {"width": 8},
    "mobilenetv2": {"alpha": 0.35},
    "mobilenetv3": {"alpha": 0.35},
    "tf_mobilenetv3": {"alpha": 0.35},
    "convnext_tiny_timm": {"widths": (8, 16, 16, 32)},
}
"""How names of encoders begin → options that make them small."""


def narrow_options(name: str) -> dict[str, Any]:
    """The options that make an encoder small; none for one that has no such option."""
    return next((NARROW[family] for family in NARROW if name.startswith(family)), {})
