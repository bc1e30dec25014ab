"""Checks the options of a network by the annotations of its builder.

A builder annotates each option with a type of this module or with a plain type. `check_options`
refuses a value that the annotation excludes, with a message that names the option. A new network
therefore needs no entry here.

    width: Count = 64,
    padding: Literal["same", "valid"] = "same",
    head: Annotated[str, one_of(HEADS)] = "v2",
"""

from __future__ import annotations

import functools
import math
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal

import keras
import numpy as np

from keras_seg.arguments import is_count, is_one_of
from keras_seg.backbones.given import FORMS, PyramidBackbone
from keras_seg.layers.preprocessing import MODES
from keras_seg.layers.resize import GRIDS

ACTIVATIONS_ELSEWHERE = dict.fromkeys(("linear", "none", "identity", "logits"), ". Write None.") | {
    "softmax2d": ". Write 'softmax'.",
    "logsigmoid": ". Write 'sigmoid'.",
    "log_softmax": ". Write 'softmax'.",
}
"""Activation of another package → the end of the message."""


@dataclass(frozen=True)
class Rule:
    """Which values an option takes. Used as `Annotated[type, Rule(...)]`.

    Attributes:
        fits: whether a value is taken.
        expected: completes the sentence "<option> must be ...".
    """

    fits: Callable[[Any], bool]
    expected: str


def one_of(choices: Iterable) -> Rule:
    """The rule of an option with a fixed set of choices."""
    choices = tuple(choices)
    return Rule(lambda value: is_one_of(value, choices), f"one of {choices}")


def at_least(count: int, per: str = "resolution") -> Rule:
    """The rule of a list of channel counts with a minimum length."""
    return Rule(
        lambda value: _are_widths(value) and len(value) >= count,
        f"{count} or more whole numbers, one per {per}",
    )


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_list(value: object) -> bool:
    return isinstance(value, tuple | list | np.ndarray) and len(value) > 0


def _is_list_of_counts(value: object) -> bool:
    return _is_list(value) and all(map(is_count, value))


def _are_widths(value: object) -> bool:
    return isinstance(value, tuple | list) and all(
        type(width) is int and width > 0 for width in value
    )


def _are_stage_widths(value: object) -> bool:
    listed = isinstance(value, tuple | list) and len(value) > 0
    return listed and all(_are_widths(each) and len(each) > 0 for each in value)


Count = Annotated[int, Rule(is_count, "a whole number from 1")]
CountOrZero = Annotated[
    int, Rule(lambda v: _is_whole(v) and v >= 0, "a whole number from 0 (0 for none)")
]
Counts = Annotated[tuple[int, ...], Rule(_is_list_of_counts, "whole numbers from 1")]
StageWidths = Annotated[
    tuple[tuple[int, ...], ...],
    Rule(
        _are_stage_widths,
        "a list per stage with the channels of its convolutions, whole numbers from 1, such as "
        "[[64, 64], [128, 128]]",
    ),
]
StepWidths = Annotated[
    tuple[int | tuple[int, int], ...], Rule(_is_list, "a list with one entry per resolution")
]
Number = Annotated[float, Rule(_is_number, "a number")]
Positive = Annotated[float, Rule(lambda v: _is_number(v) and v > 0, "a number above 0")]
Share = Annotated[
    float, Rule(lambda v: _is_number(v) and 0 <= v < 1, "a share in 0..1 (1 excluded)")
]
Weights = Annotated[
    str | Path | Mapping,
    Rule(
        lambda v: isinstance(v, str | Path | Mapping), "'imagenet', a file or a mapping of tensors"
    ),
]
Encoder = Annotated[
    str | keras.Model | PyramidBackbone,
    Rule(lambda v: isinstance(v, str | keras.Model | PyramidBackbone), FORMS),
]
"""An encoder by name, or as a model."""
BackboneOptions = Annotated[Mapping, Rule(lambda v: isinstance(v, Mapping), "a mapping of options")]
OutputStride = Annotated[int, one_of((8, 16, 32))]
ResizeGrid = Annotated[str, one_of(GRIDS)]
Pixels = Annotated[str, one_of(MODES)]
"""How a network normalises pixels, see `keras_seg.layers.Preprocessing`."""
BackbonePixels = Annotated[str, one_of((*MODES, "backbone"))]
"""As `Pixels`; "backbone" is what the encoder's ImageNet weights were trained with."""
Activation = Literal["softmax", "sigmoid"]
ImageShape = tuple[int | None, int | None, int]


def check_options(annotations: Mapping[str, Any], options: Mapping[str, Any]) -> None:
    """Refuses the first option whose value its annotation excludes.

    Args:
        annotations: option → annotation, see `annotations_of`.
        options: option → value. Options without an annotation are not checked.

    Raises: ValueError that names the option, what it must be, and its value.
    """
    for option, value in options.items():
        rule = rule_of(annotations.get(option))
        if rule is not None and not rule.fits(value):
            raise ValueError(f"{option} must be {rule.expected}. Received: {value!r}")


def check_scores(num_classes: int, activation: str | None) -> None:
    """Raises ValueError for a class count or an activation that makes no segmentation network."""
    if not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"num_classes must be a whole number from 1. Received: {num_classes!r}")
    if not is_one_of(activation, (None, *typing.get_args(Activation))):
        raise ValueError(
            f"activation must be None (logits), 'softmax' or 'sigmoid'. Received: {activation!r}"
            f"{ACTIVATIONS_ELSEWHERE.get(str(activation).lower(), '')}"
        )
    if num_classes == 1 and activation == "softmax":
        raise ValueError(
            "num_classes=1 needs activation 'sigmoid' or None, since a softmax over one class is "
            "always 1. Received: activation='softmax'"
        )


@functools.cache
def annotations_of(owner: Callable) -> dict[str, Any]:
    """Option → annotation of a builder or of a record's fields."""
    return typing.get_type_hints(owner, include_extras=True)


@functools.cache
def rule_of(annotation: Any) -> Rule | None:
    """The rule that an annotation states; None for a type that is not checked here."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return _any_of([rule_of(member) for member in typing.get_args(annotation)])
    rules = [each for each in getattr(annotation, "__metadata__", ()) if isinstance(each, Rule)]
    if rules:
        return rules[0]
    origin, members = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return one_of(members)
    if origin is tuple and members[1:] == (...,):
        return _list_of(rule_of(members[0]))
    return _of_plain_type(annotation)


def _of_plain_type(annotation: Any) -> Rule | None:
    known: dict[Any, Rule] = {
        type(None): Rule(lambda value: value is None, "None"),
        bool: Rule(lambda value: isinstance(value, bool | np.bool_), "True or False"),
        int: Rule(_is_whole, "a whole number"),
        float: Rule(_is_number, "a number"),
        str: Rule(lambda value: isinstance(value, str), "text"),
        Mapping: Rule(lambda value: isinstance(value, Mapping), "a mapping"),
    }
    if annotation in known:
        return known[annotation]
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return Rule(lambda value: isinstance(value, annotation), f"a {annotation.__name__}")
    return None


def _any_of(rules: Collection[Rule | None]) -> Rule | None:
    """The rule of a union; None as soon as one member is not checked."""
    if None in rules:
        return None
    return Rule(
        lambda value: any(rule.fits(value) for rule in rules),
        " or ".join(rule.expected for rule in rules),
    )


def _list_of(rule: Rule | None) -> Rule | None:
    if rule is None:
        return None
    return Rule(
        lambda value: _is_list(value) and all(map(rule.fits, value)),
        f"a list, each entry {rule.expected}",
    )
