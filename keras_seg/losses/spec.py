"""The losses of a recipe: their names and options, and the syntax of their sums.

Imports no TensorFlow. A loss is written in one of these forms:

    cross_entropy                                 # a name
    cross_entropy+0.5*dice                        # a sum of names with factors
    {name: ohem, threshold: 0.7}                  # a name with options
    {name: focal, class_weights: {1: 9}}          # weights by class, the others weigh 1
    {name: focal, class_weights: median}          # counted from the data
    [cross_entropy, {name: dice, weight: 0.5}]    # a sum; "weight" is the factor
    my_losses:MyLoss                              # a loss of your own, by its import path
    {path: my_losses:MyLoss, weight: 0.5, gamma: 2}   # the same with a factor and its arguments
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from keras_seg.names import unknown_name


class LossEntry(NamedTuple):
    """One loss of the table.

    Attributes:
        module, class_name: where its class is, below `keras_seg.losses`.
        own_options: arguments of its constructor besides `EVERY_LOSS` and `name`.
        elsewhere: its names in other packages, in lower case without underscores.
    """

    module: str
    class_name: str
    own_options: tuple[str, ...]
    elsewhere: tuple[str, ...]

    @property
    def options(self) -> tuple[str, ...]:
        """All options that a recipe may set."""
        return (*EVERY_LOSS, *self.own_options)


EVERY_LOSS = ("from_logits", "ignore_class", "reduction", "multi_label")
"""Options that every loss has."""
OVERLAP = ("per_image", "classes", "smooth")
"""Options that every overlap loss has."""

LOSS_TABLE: dict[str, LossEntry] = {
    "boundary": LossEntry(
        "boundary", "Boundary", ("max_distance", "classes"), ("boundaryloss", "surfaceloss")
    ),
    "cross_entropy": LossEntry(
        "cross_entropy",
        "CrossEntropy",
        ("class_weights", "label_smoothing"),
        (
            "bce",
            "bceloss",
            "bcewithlogits",
            "bcewithlogitsloss",
            "binaryceloss",
            "binarycrossentropy",
            "binarycrossentropywithlogits",
            "categoricalceloss",
            "categoricalcrossentropy",
            "cce",
            "ce",
            "crossentropy",
            "crossentropyloss",
            "logloss",
            "nll",
            "sigmoid",
            "softbcewithlogitsloss",
            "softcrossentropyloss",
            "softmax",
            "softmaxcrossentropy",
            "sparsecategoricalcrossentropy",
        ),
    ),
    "dice": LossEntry(
        "overlap",
        "Dice",
        OVERLAP,
        ("dicecoef", "dicecoefloss", "diceloss", "f1", "fscore", "generalizeddice", "softdice"),
    ),
    "focal": LossEntry(
        "focal",
        "Focal",
        ("gamma", "alpha", "class_weights"),
        (
            "binaryfocalcrossentropy",
            "binaryfocalloss",
            "categoricalfocalcrossentropy",
            "categoricalfocalloss",
            "focalcrossentropy",
            "focalloss",
            "sigmoidfocalcrossentropy",
        ),
    ),
    "focal_tversky": LossEntry(
        "overlap",
        "FocalTversky",
        (*OVERLAP, "alpha", "beta", "gamma"),
        ("focaltversky", "focaltverskyloss"),
    ),
    "jaccard": LossEntry(
        "overlap",
        "Jaccard",
        OVERLAP,
        ("iou", "iouloss", "jaccardindex", "jaccardloss", "meaniou", "miou", "softiou"),
    ),
    "lovasz_hinge": LossEntry(
        "lovasz", "LovaszHinge", ("per_image",), ("binarylovasz", "lovaszhingeloss")
    ),
    "lovasz_softmax": LossEntry(
        "lovasz",
        "LovaszSoftmax",
        ("per_image", "classes"),
        ("lovasz", "lovaszloss", "lovaszsoftmaxloss"),
    ),
    "ohem": LossEntry(
        "cross_entropy",
        "OhemCrossEntropy",
        ("threshold", "min_kept", "class_weights"),
        ("ohemce", "ohemcrossentropy", "ohemloss", "onlinehardexamplemining"),
    ),
    "squared_error": LossEntry(
        "squared_error",
        "SquaredError",
        ("class_weights",),
        ("brier", "meansquarederror", "mse", "mseloss"),
    ),
    "tversky": LossEntry("overlap", "Tversky", (*OVERLAP, "alpha", "beta"), ("tverskyloss",)),
}
"""Name in a recipe → the loss. A new loss is one row here, its module, and its name in
`keras_seg/losses/__init__.py`."""

SUMS_ELSEWHERE: dict[str, tuple[str, ...]] = {
    "cross_entropy+dice": ("bcedice", "bcediceloss", "ccediceloss", "dicebce", "dicebceloss"),
    "cross_entropy+jaccard": ("bcejaccardloss", "ccejaccardloss"),
    "focal+dice": (
        "binaryfocaldiceloss",
        "categoricalfocaldiceloss",
        "dicefocal",
        "dicefocalloss",
        "focaldice",
        "focaldiceloss",
    ),
    "focal+jaccard": ("binaryfocaljaccardloss", "categoricalfocaljaccardloss"),
}
"""A sum → its names in other packages, in lower case without underscores."""
OPTIONS_ELSEWHERE = {
    "ignore_index": "ignore_class",
    "ignore_label": "ignore_class",
    "class_weight": "class_weights",
    "weights": "class_weights",
    "activation": "from_logits (or multi_label, for a sigmoid per channel)",
    "sigmoid": "multi_label",
    "multilabel": "multi_label",
    "mode": "multi_label",
    "class_indexes": "classes",
    "label_smooth": "label_smoothing",
    "smooth_factor": "label_smoothing",
    "thresh": "threshold",
}
"""Option of another package → the option here."""


class LossTerm(NamedTuple):
    """One term of a sum of losses: weight * name(**options).

    Attributes:
        name: name in the table, or the import path of a loss of the user, "module:name".
        weight: factor in the sum.
        options: arguments of the loss.
    """

    name: str
    weight: float
    options: dict[str, Any]

    @property
    def is_own(self) -> bool:
        """Whether the loss is one of the user, by its import path."""
        return ":" in self.name


def parse_loss(spec: str | Mapping | Sequence) -> tuple[LossTerm, ...]:
    """The terms of a loss as recipes write it (see the module docstring).

    Raises: ValueError for an unknown name or option, with the nearest known one; for a factor that
        is not above 0; for text that is not a sum of names.

    Example:
        >>> parse_loss("cross_entropy+0.5*dice")[1]
        LossTerm(name='dice', weight=0.5, options={})
    """
    if isinstance(spec, str):
        return tuple(_text_term(text, spec) for text in re.split(r"(?<!\d[eE])\+", spec))
    if isinstance(spec, Mapping):
        return (_checked_term(dict(spec)),)
    if isinstance(spec, Sequence) and spec:
        return tuple(term for entry in spec for term in parse_loss(entry))
    raise ValueError(
        "A loss is a name ('dice'), a sum ('cross_entropy+0.5*dice'), a mapping with a name "
        f"({{'name': 'ohem', 'threshold': 0.7}}) or a list of these. Received: {spec!r}"
    )


def name_here(foreign: str) -> str | None:
    """The name here of a loss of another package, or of a class of this one; None if unknown.

    Example:
        >>> name_here("BCEDiceLoss"), name_here("OhemCrossEntropy")
        ('cross_entropy+dice', 'ohem')
    """
    plain = re.sub(r"[^a-z0-9]", "", foreign.lower())
    own = {name.replace("_", ""): name for name in LOSS_TABLE}
    if plain in own:
        return own[plain]
    elsewhere = {name: entry.elsewhere for name, entry in LOSS_TABLE.items()} | SUMS_ELSEWHERE
    return next((ours for ours, theirs in elsewhere.items() if plain in theirs), None)


def _text_term(text: str, whole: str) -> LossTerm:
    match = re.fullmatch(r"\s*(?:([\d.]+(?:[eE][+-]?\d+)?)\s*\*)?\s*([^\W\d][\w.:]*)\s*", text)
    if match is None:
        raise ValueError(
            f"Cannot read {text.strip()!r} in the loss {whole!r}. Write names with factors before "
            "them, such as 'cross_entropy+0.5*dice'."
        )
    factor, name = match.groups()
    return _checked_term({"name": name, "weight": 1.0 if factor is None else factor})


def _checked_term(entry: dict) -> LossTerm:
    if "path" in entry and "name" not in entry:
        return _own_term(entry)
    if "name" not in entry:
        raise ValueError(
            "A loss given as a mapping needs an entry 'name', or 'path' for a loss of your own. "
            f"Received: {entry}"
        )
    if isinstance(entry["name"], str) and ":" in entry["name"]:
        return _own_term({"path": entry.pop("name")} | entry)
    name, weight = entry.pop("name"), entry.pop("weight", 1.0)
    if not isinstance(name, str) or name not in LOSS_TABLE:
        raise ValueError(_unknown_loss(name))
    known = LOSS_TABLE[name].options
    for option in entry:
        if option not in known:
            raise ValueError(_unknown_option(name, option))
    if isinstance(weight, Mapping | list | tuple) and "class_weights" in known:
        raise ValueError(
            f"weight of the loss {name!r} is its factor in a sum, one number. For a weight per "
            f"class write class_weights. Received: {weight!r}"
        )
    return LossTerm(name, _factor(name, weight), entry)


def _own_term(entry: dict) -> LossTerm:
    path, weight = entry.pop("path"), entry.pop("weight", 1.0)
    if not isinstance(path, str) or not all(path.partition(":")):
        raise ValueError(
            'The path of a loss is an import path, "module:name", such as "my_losses:MyLoss". '
            f"Received: {path!r}"
        )
    return LossTerm(path, _factor(path, weight), entry)


def _factor(name: str, weight: Any) -> float:
    try:
        factor = float(weight)
    except (TypeError, ValueError):
        factor = math.nan
    if not 0 < factor < math.inf:
        raise ValueError(f"The factor of the loss {name!r} must be above 0. Received: {weight!r}")
    return factor


def _unknown_loss(name: object) -> str:
    here = name_here(name) if isinstance(name, str) else None
    if here is None:
        own = ""
        if isinstance(name, str) and "." in name:
            own = f" A loss of your own has a colon: {':'.join(name.rsplit('.', 1))!r}."
        return unknown_name("loss", name, LOSS_TABLE) + own
    per_channel = any(word in name.lower() for word in ("binary", "bce", "sigmoid"))
    hint = " (multi_label=True for a sigmoid per channel)" if per_channel else ""
    return (
        f"Unknown loss {name!r}. Here it is written {here!r}{hint}. Known: "
        f"{', '.join(sorted(LOSS_TABLE))}."
    )


def _unknown_option(name: str, option: object) -> str:
    known = (*LOSS_TABLE[name].options, "weight")
    meant = OPTIONS_ELSEWHERE.get(option, option) if isinstance(option, str) else option
    word = str(meant).partition(" ")[0]
    if word != option and word in known:
        return f"Unknown option of the loss {name!r} {option!r}. Here it is {meant}."
    having = sorted(other for other, entry in LOSS_TABLE.items() if word in entry.options)
    if having:
        return f"The loss {name!r} has no {word}. These have: {', '.join(having)}."
    return unknown_name(f"option of the loss {name!r}", option, known)
