"""Names of timm's models, for tensors whose names and shapes several models share."""

from __future__ import annotations

import re

TWINS = {
    # encoder that the tensors fit: (its name in timm, others with equal tensors, their difference)
    "resnet18": ("resnet18", ("resnetblur18",), "blurs before it strides"),
    "resnet50": ("resnet50", ("resnetblur50", "resnetaa50"), "blur or average before they stride"),
    **{
        f"mobilenetv3_{size}_timm": (
            f"mobilenetv3_{size}",
            (f"tf_mobilenetv3_{size}",),
            "pads as TensorFlow does and has another epsilon",
        )
        for size in ("large", "small")
    },
    **{
        f"efficientnet_lite{size}": (
            f"tf_efficientnet_lite{size}",
            (f"efficientnet_lite{size}",),
            "pads as PyTorch does and has another epsilon",
        )
        for size in range(5)
    },
}
"""Found by comparing the tensors of all models of timm 1.0.31."""
WIDTHS_OF_TWINS = ("", "_075", "_100")
"""Widths of mobile networks that timm has in both forms; it has other widths in one form only."""
NAMES = (
    # (pattern of the encoder that tensors fit, pattern of its names in timm)
    (r"(resnet\d+c?|vgg\d+(_bn)?|xception\d\d)", r"{0}"),
    (r"hrnet_(w18_small)_v1", r"hrnet_{1}"),
    (r"hrnet_(\w+)", r"hrnet_{1}(_ssld)?"),
    (r"mobilenetv2_timm", r"mobilenetv2_\w+"),
    (r"tf_mobilenetv3_(small|large)_minimalistic_timm", r"tf_mobilenetv3_{1}_minimal_\d+"),
    (r"mobilenetv3_(small|large)_timm", r"(tf_)?mobilenetv3_{1}_\d+"),
    (r"tf_efficientnetv2_(b\d)_timm", r"tf_efficientnetv2_{1}"),
    (r"efficientnet_(lite\d)", r"(tf_)?efficientnet_{1}"),
    (r"convnext_tiny_timm", r"convnext_\w+"),
    (r"xception_timm", r"(legacy_)?xception"),
)
OURS = (
    r"resnet(18|34|50|101|152)|resnet(50|101|152)c|vgg(16|19)(_bn)?|xception(41|65|71)?"
    r"|legacy_xception|hrnet_w\w+|mobilenetv2_\w+|(tf_)?mobilenetv3_(small|large)_\w+"
    r"|tf_efficientnetv2_b[0-3]|(tf_)?efficientnet_lite[0-4]|convnext_\w+"
)
"""Names in timm of all encoders that keras_seg has."""


def base_name(name: str) -> str:
    """The name without smp's prefix and the hub's tag: "resnet50" of "tu-resnet50.tv_in1k"."""
    return re.sub(r"^(tu-|timm[-/])", "", str(name)).partition(".")[0]


def told_apart(
    recognised: tuple[str, dict], name: str | None, *, word: str, prefix: str = ""
) -> tuple[str, dict]:
    """(encoder, options) of the intended model, if several models have the same tensors.

    Args:
        recognised: encoder and options that fit the tensors.
        name: the model's name in timm; None if it was not given.
        word: the option that gives it.
        prefix: put before timm's names by the source.

    Raises: ValueError if the name is missing and decides, or is that of another encoder.
    """
    encoder, options = recognised
    called = f"{encoder}c" if options.get("deep_stem") else encoder
    if name is None:
        if called in TWINS and _width(encoder, options) in WIDTHS_OF_TWINS:
            model, twins, difference = TWINS[encoder]
            choices = [f"{prefix}{x}{_width(encoder, options)}" for x in (model, *twins)]
            raise ValueError(
                f"These tensors fit {choices[0]}, and as well {' and '.join(choices[1:])}, which "
                f"{difference}. No tensor tells them apart. Say which one it is: "
                f"{' or '.join(f'{word}={choice!r}' for choice in choices)}."
            )
        return recognised
    base = base_name(name)
    if encoder.startswith("efficientnet_lite") and base == encoder:
        return encoder, options | {"tensorflow": False}
    if called in TWINS and base in TWINS[called][1]:
        raise ValueError(
            f"keras_seg has no {base}. It has the tensors of {TWINS[encoder][0]}, but blurs or "
            "averages before it strides, so that it would compute something else."
        )
    if not re.fullmatch(OURS, base):
        raise ValueError(f"{word}={name!r} is an encoder that keras_seg does not have.")
    if not _is_called(called, base):
        raise ValueError(
            f"{word}={name!r} is another encoder than the tensors are: they fit "
            f"{_readable(called)}."
        )
    if encoder.startswith("mobilenetv3") and base.startswith("tf_"):
        return f"tf_{encoder}", options
    return recognised


def _is_called(encoder: str, base: str) -> bool:
    for ours, theirs in NAMES:
        if match := re.fullmatch(ours, encoder):
            groups = (encoder, *match.groups())
            return bool(re.fullmatch(theirs.format(*map(str, groups)), base))
    return False


def _width(encoder: str, options: dict) -> str:
    """The ending of timm's mobile networks: "_075" for channels times 0.75."""
    if not encoder.startswith("mobilenet"):
        return ""
    return f"_{round(100 * options.get('alpha', 1)):03d}"


def _readable(encoder: str) -> str:
    return encoder.removesuffix("_timm")
