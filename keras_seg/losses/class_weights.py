"""Class weights as users write them: a mapping, a list, or a rule. Imports no TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_seg.names import unknown_name

FROM_DATA = ("balanced", "median")
"""Rules that count weights from a data set, see `keras_seg.data.class_weights`."""
ALIASES = {"median_frequency": "median"}


class ClassWeights(NamedTuple):
    """One factor per class.

    Attributes:
        numbers: the factors.
        open_ended: whether further classes weigh 1, as for a mapping.
    """

    numbers: tuple[float, ...]
    open_ended: bool

    def for_classes(self, num_classes: int) -> tuple[float, ...]:
        """One factor for each of `num_classes` classes.

        Raises: ValueError for another number of classes.
        """
        numbers = self.numbers
        if self.open_ended and len(numbers) > num_classes:
            raise ValueError(
                f"class_weights names class {len(numbers) - 1} for scores of {num_classes} "
                f"classes. The class indices are 0 to {num_classes - 1}."
            )
        if self.open_ended:
            numbers = (*numbers, *(1.0,) * (num_classes - len(numbers)))
        if len(numbers) != num_classes:
            raise ValueError(
                f"class_weights has {len(numbers)} numbers for scores of {num_classes} classes. "
                "Give one number per class (two for a network with one output channel)."
            )
        if max(numbers) <= 0:
            raise ValueError(f"class_weights is 0 for every class: {list(numbers)}")
        return numbers

    def config(self) -> dict[str, float] | tuple[float, ...]:
        """The weights in types of JSON, as `class_weights_of` reads them back."""
        if not self.open_ended:
            return self.numbers
        return {str(number): weight for number, weight in enumerate(self.numbers)}


def class_weights_of(value: Any) -> ClassWeights | None:
    """Class weights of a mapping {class: weight} or of one number per class; None for None.

    Keys are class indices, also as text, as in JSON. Classes without a key weigh 1.

    Raises: ValueError for anything else, with the forms that can be written.
    """
    if value is None:
        return None
    if isinstance(value, str):
        rule = rule_named(value)
        raise ValueError(
            f"class_weights={value!r} is counted from data, which a loss does not have. Write "
            f'class_weights=keras_seg.data.class_weights(dataset, "{rule}"). In a recipe, '
            "`train` counts them."
        )
    if isinstance(value, Mapping):
        return ClassWeights(_by_number(value), True)
    if not isinstance(value, Sequence) and not hasattr(value, "__array__"):
        raise ValueError(_forms(value))
    numbers = np.asarray(value, object) if isinstance(value, Sequence) else np.asarray(value)
    if numbers.ndim != 1 or not numbers.size:
        raise ValueError(_forms(value))
    weights = tuple(_weight(number, value) for number in numbers.tolist())
    if max(weights) <= 0:
        raise ValueError(f"class_weights must not be 0 for every class. Received: {value!r}")
    return ClassWeights(weights, False)


def rule_named(value: str) -> str:
    """ "balanced" or "median".

    Raises: ValueError for another rule, with the nearest one.
    """
    rule = ALIASES.get(value, value)
    if rule not in FROM_DATA:
        raise ValueError(unknown_name("class_weights", value, (*FROM_DATA, *ALIASES)))
    return rule


def by_class_number(value: Mapping, names: Sequence[str]) -> dict:
    """The mapping with class indices as keys; the given keys may also be class names.

    Raises: ValueError for a name that no class has, with the nearest one.
    """
    weights = {}
    for key, weight in value.items():
        number = key
        if isinstance(key, str) and not key.strip().isdecimal():
            if key not in names:
                raise ValueError(unknown_name("class in class_weights", key, names))
            number = list(names).index(key)
        elif isinstance(key, str):
            number = int(key)
        if number in weights:
            raise ValueError(f"class_weights names class {number} twice: {dict(value)}")
        weights[number] = weight
    return weights


def _by_number(value: Mapping) -> tuple[float, ...]:
    weights: dict[int, float] = {}
    for key, weight in value.items():
        number = int(key) if isinstance(key, str) and key.strip().isdecimal() else key
        is_number = isinstance(number, int | np.integer) and not isinstance(number, bool)
        if not is_number or number < 0:
            raise ValueError(
                "The keys of class_weights must be class indices, whole numbers from 0. Received: "
                f"the key {key!r} in {dict(value)}. Class names work in a recipe, where the data "
                "name the classes."
            )
        if number in weights:
            raise ValueError(f"class_weights names class {number} twice: {dict(value)}")
        weights[int(number)] = _weight(weight, value)
    if not weights:
        raise ValueError(_forms(value))
    if max(weights) >= 2**16:
        raise ValueError(f"class_weights names class {max(weights)}: {dict(value)}")
    return tuple(weights.get(number, 1.0) for number in range(max(weights) + 1))


def _weight(number: Any, value: Any) -> float:
    try:
        weight = math.nan if isinstance(number, bool | np.bool_) else float(number)
    except (TypeError, ValueError):
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise ValueError(
            f"class_weights must be one number per class, none below 0. Received: {number!r} in "
            f"{value!r}"
        )
    return weight


def _forms(value: Any) -> str:
    return (
        "class_weights must be one number per class ([1, 9]), a mapping of class indices to "
        f"weights ({{1: 9.0}}, others weigh 1), or None. Received: {value!r}"
    )
