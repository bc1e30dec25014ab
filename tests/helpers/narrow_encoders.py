"""Options that make encoders small."""

from typing import Any

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
