"""Arguments of builders that became fields of the variant. They are accepted, with a warning.

This file goes when the former arguments go: one minor version after their replacement.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_seg.deprecation import warn_deprecated
from keras_seg.models.variants import Variant, as_variant, changed

_RESIDUAL = ("batch_norm_epsilon", "padding", "resize_grid", "shortcut_kernel", "shortcut_norm")
FORMER_OPTIONS: dict[str, tuple[str, ...]] = {
    "danet": ("attention_scale", "resize_grid"),
    "deeplabv3plus": ("layout", "resize_grid"),
    "gridnet": ("head", "nonlinearity", "norm", "stem", "use_bias"),
    "ocrnet": (
        "auxiliary_channels",
        "auxiliary_kernel",
        "backbone_width",
        "ceil_pool",
        "deep_stem",
        "multi_grid",
        "negative_slope",
        "resize_grid",
        "transform_bias",
    ),
    "resunet": _RESIDUAL,
    "resunetplusplus": (*_RESIDUAL, "aspp_merge", "attention", "squeeze_excite"),
    "unet": (
        "any_size",
        "centre",
        "concat",
        "head_kernel",
        "norm",
        "resize_grid",
        "use_bias",
    ),
    "unetplusplus": ("concat", "head_kernel", "norm", "resize_grid", "use_bias"),
}
"""Network → its former arguments."""
NAME_OF_VARIANT = "layout"
"""The former argument of DeepLabV3+ that is now the variant itself, not a field of it."""


def with_variant(
    network: str,
    record: type[Variant] | None,
    options: Mapping[str, Any],
    base: Variant | None = None,
) -> dict[str, Any]:
    """Options in which `variant` is a record, and former arguments are fields of it.

    Args:
        network: name in the registry.
        record: the network's record; None if it has none.
        options: keyword arguments of its builder, and former ones.
        base: the variant that a mapping of fields changes; None for the defaults.

    Warns: DeprecationWarning that names the argument to write instead.
    Raises: ValueError for an invalid variant, see `keras_seg.models.variants.as_variant`.
    """
    options = dict(options)
    names = [name for name in FORMER_OPTIONS.get(network, ()) if name in options]
    former = {name: options.pop(name) for name in names}
    if record is None or not ("variant" in options or former):
        return options
    given = former.pop(NAME_OF_VARIANT, options.get("variant"))
    variant = changed(as_variant(record, given, base), former)
    if names == [NAME_OF_VARIANT]:
        _warn(network, names, given)
    elif NAME_OF_VARIANT in names:
        _warn(network, names, _differences(variant))
    elif names:
        _warn(network, names, former)
    return options | {"variant": variant}


def _differences(variant: Variant) -> dict[str, Any]:
    """The fields of a variant that differ from its defaults."""
    defaults = vars(type(variant)())
    return {name: value for name, value in vars(variant).items() if value != defaults[name]}


def _warn(network: str, names: list[str], variant: object) -> None:
    several = len(names) > 1
    warn_deprecated(
        f"{' and '.join(names)} of {network} {'are' if several else 'is'} part of its variant now. "
        f"The former argument{'s' if several else ''} will be removed after one more minor "
        f"version. Write variant={variant!r}, in Python and in a recipe."
    )
