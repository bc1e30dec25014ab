"""What options of the same name may be, in every network that has them.

Builders check what only they know; without this a wrong type would end in a layer, which knows
nothing of the option.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from keras_seg.layers.preprocessing import MODES
from keras_seg.layers.resize import GRIDS

SWITCHES = (
    *("any_size", "auxiliary_head", "bayesian", "ceil_pool", "centre", "deep_supervision"),
    *("local_response", "norm", "transform_bias", "upsample_logits", "use_bias"),
)
COUNTS = (
    *("auxiliary_channels", "auxiliary_kernel", "backbone_width", "channels", "columns"),
    *("head_kernel", "interlinks", "kernel", "key_channels", "mid_channels", "query_chunk"),
    *("rows", "squeeze_ratio"),
)
COUNTS_OF_EACH = ("aspp_rates", "multi_grid", "pyramid_rates")
RESOLUTIONS = ("decoder_widths", "widths")
RESIZES = (*GRIDS, "nearest")
NUMBERS = ("attention_scale", "negative_slope")


def check_options(options: Mapping) -> None:
    """Raises ValueError that names the first option whose value no network can take.

    None is left to the builders, as is what only one of them knows.
    """
    for option, value in options.items():
        if value is None or option not in _RULES:
            continue
        fits, expected = _RULES[option]
        if not fits(value):
            raise ValueError(f"{option} must be {expected}. Received: {value!r}")


def _is_count(value) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= 1


def _is_number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_sequence(value) -> bool:
    return isinstance(value, tuple | list | np.ndarray) and len(value) > 0


def _is_name(value) -> bool:
    """Also networks and variants of one's own, which builders check."""
    return isinstance(value, str) or not isinstance(value, Real | tuple | list | Mapping)


_Rule = tuple[Callable[[object], bool], str]
_RULES: dict[str, _Rule] = {
    **dict.fromkeys(SWITCHES, (lambda v: isinstance(v, bool | np.bool_), "True or False")),
    **dict.fromkeys(COUNTS, (_is_count, "a whole number from 1")),
    **dict.fromkeys(
        COUNTS_OF_EACH,
        (lambda v: _is_sequence(v) and all(map(_is_count, v)), "whole numbers from 1"),
    ),
    **dict.fromkeys(RESOLUTIONS, (_is_sequence, "a list with an entry a resolution")),
    **dict.fromkeys(NUMBERS, (_is_number, "a number")),
    "backbone": (_is_name, "a name or a network"),
    "backbone_options": (lambda v: isinstance(v, Mapping), "a mapping of options"),
    "backbone_weights": (
        lambda v: isinstance(v, str | Path | Mapping),
        "'imagenet', a file or a mapping of tensors",
    ),
    "batch_norm_epsilon": (lambda v: _is_number(v) and v > 0, "a number above 0"),
    "dropout": (lambda v: _is_number(v) and 0 <= v < 1, "a share in 0..1 (1 excluded)"),
    "features": (
        lambda v: _is_count(v) or (_is_sequence(v) and all(map(_is_count, v))),
        "a whole number from 1, or one a row",
    ),
    "preprocessing": (lambda v: isinstance(v, str), f"one of {[*MODES]} or None"),
    "resize_grid": (lambda v: v in RESIZES, f"one of {RESIZES}"),
}
