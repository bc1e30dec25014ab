"""How a loss is written in a recipe or on the command line. Imports no TensorFlow.

cross_entropy                                  a name
cross_entropy+0.5*dice                         a sum of names, each with a factor
{name: ohem, threshold: 0.7}                   a name with options; "weight" is its factor
{name: focal, class_weights: {1: 9}}           one number per class, or a mapping; others weigh 1
{name: focal, class_weights: median}           counted from the data: in a recipe
[cross_entropy, {name: tversky, beta: 0.7, weight: 0.5}]      a sum of these
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from keras_seg.names import unknown_name

_EVERY_LOSS = ("from_logits", "ignore_class", "reduction", "multi_label")
_OVERLAP = ("per_image", "classes", "smooth")
LOSS_OPTIONS: dict[str, tuple[str, ...]] = {
    "boundary": (*_EVERY_LOSS, "max_distance", "classes"),
    "cross_entropy": (*_EVERY_LOSS, "class_weights", "label_smoothing"),
    "dice": (*_EVERY_LOSS, *_OVERLAP),
    "focal": (*_EVERY_LOSS, "gamma", "alpha", "class_weights"),
    "focal_tversky": (*_EVERY_LOSS, *_OVERLAP, "alpha", "beta", "gamma"),
    "jaccard": (*_EVERY_LOSS, *_OVERLAP),
    "lovasz_hinge": (*_EVERY_LOSS, "per_image"),
    "lovasz_softmax": (*_EVERY_LOSS, "per_image", "classes"),
    "ohem": (*_EVERY_LOSS, "threshold", "min_kept", "class_weights"),
    "squared_error": (*_EVERY_LOSS, "class_weights"),
    "tversky": (*_EVERY_LOSS, *_OVERLAP, "alpha", "beta"),
}
"""Name → options that a recipe may set; the losses themselves are in `keras_seg.losses`."""


FOREIGN_NAMES: dict[str, tuple[str, ...]] = {
    "cross_entropy": (
        *("crossentropy", "ce", "cce", "nll", "softmax", "softmaxcrossentropy", "crossentropyloss"),
        *("sparsecategoricalcrossentropy", "categoricalcrossentropy", "softcrossentropyloss"),
        *("bce", "binarycrossentropy", "bcewithlogits", "bcewithlogitsloss", "sigmoid"),
        *("binarycrossentropywithlogits", "softbcewithlogitsloss", "bceloss", "logloss"),
        *("categoricalceloss", "binaryceloss"),
    ),
    "dice": ("diceloss", "softdice", "dicecoef", "dicecoefloss", "generalizeddice", "f1", "fscore"),
    "jaccard": ("iou", "iouloss", "jaccardloss", "miou", "meaniou", "softiou", "jaccardindex"),
    "focal": (
        *("focalloss", "binaryfocalloss", "categoricalfocalloss", "focalcrossentropy"),
        *("binaryfocalcrossentropy", "categoricalfocalcrossentropy", "sigmoidfocalcrossentropy"),
    ),
    "tversky": ("tverskyloss",),
    "focal_tversky": ("focaltverskyloss", "focaltversky"),
    "lovasz_softmax": ("lovasz", "lovaszloss", "lovaszsoftmaxloss"),
    "lovasz_hinge": ("lovaszhingeloss", "binarylovasz"),
    "ohem": ("ohemcrossentropy", "ohemce", "onlinehardexamplemining", "ohemloss"),
    "squared_error": ("mse", "meansquarederror", "mseloss", "brier"),
    "boundary": ("boundaryloss", "surfaceloss"),
    "cross_entropy+dice": ("bcediceloss", "ccediceloss", "dicebce", "bcedice", "dicebceloss"),
    "cross_entropy+jaccard": ("bcejaccardloss", "ccejaccardloss"),
    "focal+dice": (
        *("binaryfocaldiceloss", "categoricalfocaldiceloss", "focaldice", "dicefocal"),
        *("dicefocalloss", "focaldiceloss"),
    ),
    "focal+jaccard": ("binaryfocaljaccardloss", "categoricalfocaljaccardloss"),
}
"""What is written here → what others call it, in small letters without underscores."""
FOREIGN_OPTIONS = {
    "ignore_index": "ignore_class",
    "ignore_label": "ignore_class",
    "class_weight": "class_weights",
    "weights": "class_weights",
    "activation": "from_logits (or multi_label, for a sigmoid per channel)",
    "sigmoid": "multi_label",
    "multilabel": "multi_label",
    "mode": "multi_label",
    "label_smooth": "label_smoothing",
    "smooth_factor": "label_smoothing",
    "thresh": "threshold",
}


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


def name_here(foreign: str) -> str | None:
    """What a loss of another package, or a class of this one, is called here; None if unknown."""
    plain = re.sub(r"[^a-z0-9]", "", foreign.lower())
    own = {name.replace("_", ""): name for name in LOSS_OPTIONS}
    if plain in own:
        return own[plain]
    return next((ours for ours, theirs in FOREIGN_NAMES.items() if plain in theirs), None)


def _unknown_loss(name) -> str:
    here = name_here(name) if isinstance(name, str) else None
    if here is None:
        return unknown_name("loss", name, LOSS_OPTIONS)
    each = " (multi_label=True for a sigmoid per channel)" if _is_per_channel(name) else ""
    return (
        f"Unknown loss {name!r}. Here it is written {here!r}{each}. Known: "
        f"{', '.join(sorted(LOSS_OPTIONS))}."
    )


def _is_per_channel(name: str) -> bool:
    return any(word in name.lower() for word in ("binary", "bce", "sigmoid"))


def _unknown_option(name: str, option) -> str:
    known = (*LOSS_OPTIONS[name], "weight")
    meant = FOREIGN_OPTIONS.get(option, option) if isinstance(option, str) else option
    word = str(meant).partition(" ")[0]
    if word != option and word in known:
        return f"Unknown option of the loss {name!r} {option!r}. Here it is {meant}."
    having = sorted(other for other, options in LOSS_OPTIONS.items() if word in options)
    if having:
        return f"The loss {name!r} has no {word}. These have: {', '.join(having)}."
    return unknown_name(f"option of the loss {name!r}", option, known)


def _checked(entry: dict) -> LossTerm:
    if "name" not in entry:
        raise ValueError(f"A loss given as a mapping needs an entry 'name'. Received: {entry}")
    name, weight = entry.pop("name"), entry.pop("weight", 1.0)
    if not isinstance(name, str) or name not in LOSS_OPTIONS:
        raise ValueError(_unknown_loss(name))
    for option in entry:
        if option not in LOSS_OPTIONS[name]:
            raise ValueError(_unknown_option(name, option))
    if isinstance(weight, Mapping | list | tuple) and "class_weights" in LOSS_OPTIONS[name]:
        raise ValueError(
            f"weight of the loss {name!r} is its factor in a sum, one number. For a weight per "
            f"class write class_weights. Received: {weight!r}"
        )
    try:
        factor = float(weight)
    except (TypeError, ValueError):
        factor = math.nan
    if not 0 < factor < math.inf:
        raise ValueError(f"The factor of the loss {name!r} must be above 0. Received: {weight!r}")
    return LossTerm(name, factor, entry)
