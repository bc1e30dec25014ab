"""Encoders of other packages that this one does not have, with the nearest that it has."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from keras_seg.names import unknown_name


class _Elsewhere(NamedTuple):
    """A family of encoders.

    Attributes:
        pattern: of their names, in lower case and without separators.
        nearest: the encoders here that are most like them.
        application: a member of `keras.applications`; None if Keras has none.
    """

    pattern: str
    nearest: tuple[str, ...]
    application: str | None = None


ENCODERS_ELSEWHERE = (
    _Elsewhere(r"densenet", ("resnet50",), "DenseNet121"),
    _Elsewhere(r"(tf)?efficientnetv2([sml]|rw)", ("efficientnetv2_b3",), "EfficientNetV2S"),
    _Elsewhere(r"tfefficientnetlite|efficientnetlite$", ("efficientnet_lite0",)),
    _Elsewhere(r"(tf)?efficientnet(b\d|cc|l2)", ("efficientnetv2_b0",), "EfficientNetB0"),
    _Elsewhere(r"(nasnet|pnasnet|mnasnet)", ("mobilenetv2",)),
    _Elsewhere(r"mobilenet(v1)?(\d|$)", ("mobilenetv2",), "MobileNet"),
    _Elsewhere(r"(mobileone|ghostnet|shufflenet|squeezenet|mobilevit)", ("mobilenetv3_large",)),
    _Elsewhere(r"resnet\d+v2$", ("resnet50", "resnet101"), "ResNet50V2"),
    _Elsewhere(
        r"(seresne|senet|sknet|skres|resnext|resnest|res2ne|wideresnet|regnet|ecaresnet|dpn|dla)",
        ("resnet50", "resnet101"),
    ),
    _Elsewhere(r"(cspdarknet|darknet|cspnet|vovnet|hardnet)", ("resnet50",)),
    _Elsewhere(r"inception", ("keras_xception", "xception65")),
    _Elsewhere(r"vgg(11|13)", ("vgg16",)),
    _Elsewhere(r"convnext(v2)?(small|base|large|xlarge)", ("convnext_tiny",), "ConvNeXtSmall"),
    _Elsewhere(
        r"(mit(b\d|$)|mixtransformer|segformer|swin|vit|deit|beit|dino|maxvit)", ("convnext_tiny",)
    ),
)
"""Families of segmentation_models, segmentation_models.pytorch, timm and keras-hub."""


def unknown_backbone(name: object, known: Collection[str]) -> str:
    """The message for an encoder that this package does not have.

    Example:
        >>> print(unknown_backbone("densenet121", ["resnet50", "vgg16"]))
        This package has no encoder 'densenet121'. Nearest: resnet50. A model of Keras works, too: \
backbone=keras.applications.DenseNet121(include_top=False). Known: resnet50, vgg16.
    """
    plain = re.sub(r"[-_.]", "", str(name).lower()).removeprefix("timm").removeprefix("tu")
    for family in ENCODERS_ELSEWHERE:
        if not re.match(family.pattern, plain):
            continue
        application = family.application and (
            " A model of Keras works, too: backbone=keras.applications."
            f"{family.application}(include_top=False)."
        )
        return (
            f"This package has no encoder {name!r}. Nearest: {' or '.join(family.nearest)}."
            f"{application or ''} Known: {', '.join(sorted(known))}."
        )
    return unknown_name("backbone", str(name), known)
