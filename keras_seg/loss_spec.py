"""How a loss is written in a recipe or on the command line. Imports no TensorFlow.

cross_entropy                                  a name
cross_entropy+0.5*dice                         a sum of names, each with a factor
{name: ohem, threshold: 0.7}                   a name with options; "weight" is its factor
[cross_entropy, {name: tversky, beta: 0.7, weight: 0.5}]      a sum of these
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from keras_seg.names import unknown_name

_EVERY_LOSS = ("from_logits", "ignore_class", "reduction")
_OVERLAP = ("per_image", "classes", "smooth")
LOSS_OPTIONS: dict[str, tuple[str, ...]] = {
    "boundary": (*_EVERY_LOSS, "max_distance", "classes"),
    "cross_entropy": (*_EVERY_LOSS, "class_weights", "label_smoothing"),
    "dice": (*_EVERY_LOSS, *_OVERLAP),
    "focal": (*_EVERY_LOSS, "gamma", "class_weights"),
    "focal_tversky": (*_EVERY_LOSS, *_OVERLAP, "alpha", "beta", "gamma"),
    "jaccard": (*_EVERY_LOSS, *_OVERLAP),
    "lovasz_hinge": (*_EVERY_LOSS, "per_image"),
    "lovasz_softmax": (*_EVERY_LOSS, "per_image", "classes"),
    "ohem": (*_EVERY_LOSS, "threshold", "min_kept", "class_weights"),
    "squared_error": (*_EVERY_LOSS, "class_weights"),
    "tversky": (*_EVERY_LOSS, *_OVERLAP, "alpha", "beta"),
}
"""Name → options that a recipe may set; the losses themselves are in `keras_seg.losses`."""


class LossTerm(NamedTuple):
    """One part of a sum of losses: weight * name(**options)."""

    name: str
    weight: float
    options: dict[str, Any]


def parse_loss(spec: str | Mapping | Sequence) -> tuple[LossTerm, ...]:
    """The terms of a loss as recipes write it (module docstring).

    Raises: ValueError for an unknown name or option, with the nearest known one, for a factor
        that is not above 0, or for a text that is no sum of names.
    """
    if isinstance(spec, str):
        return tuple(_term(text, spec) for text in re.split(r"(?<!\d[eE])\+", spec))
    if isinstance(spec, Mapping):
        return (_checked(dict(spec)),)
    if isinstance(spec, Sequence) and spec:
        return tuple(term for entry in spec for term in parse_loss(entry))
    raise ValueError(
        "A loss is a name ('dice'), a sum ('cross_entropy+0.5*dice'), a mapping with a name "
        f"({{'name': 'ohem', 'threshold': 0.7}}) or a list of these. Received: {spec!r}"
    )


def _term(text: str, whole: str) -> LossTerm:
    match = re.fullmatch(r"\s*(?:([\d.]+(?:[eE][+-]?\d+)?)\s*\*)?\s*([^\W\d]\w*)\s*", text)
    if match is None:
        raise ValueError(
            f"Cannot read {text.strip()!r} in the loss {whole!r}. Write names with factors before "
            "them, such as 'cross_entropy+0.5*dice'."
        )
    factor, name = match.groups()
    return _checked({"name": name, "weight": 1.0 if factor is None else factor})


def _checked(entry: dict) -> LossTerm:
    if "name" not in entry:
        raise ValueError(f"A loss given as a mapping needs an entry 'name'. Received: {entry}")
    name, weight = entry.pop("name"), entry.pop("weight", 1.0)
    if not isinstance(name, str) or name not in LOSS_OPTIONS:
        raise ValueError(unknown_name("loss", name, LOSS_OPTIONS))
    for option in entry:
        if option not in LOSS_OPTIONS[name]:
            known = (*LOSS_OPTIONS[name], "weight")
            raise ValueError(unknown_name(f"option of the loss {name!r}", option, known))
    try:
        factor = float(weight)
    except (TypeError, ValueError):
        factor = math.nan
    if not 0 < factor < math.inf:
        raise ValueError(f"The factor of the loss {name!r} must be above 0. Received: {weight!r}")
    return LossTerm(name, factor, entry)
