"""Class weights of a recipe's loss in numbers: words counted from the data, names looked up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_seg import losses
from keras_seg.atomic_files import write_text
from keras_seg.data.class_balance import weights_by
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.histogram import class_histogram
from keras_seg.losses.class_weights import by_class_number, rule_named
from keras_seg.losses.spec import parse_loss
from keras_seg.training.run_folder import CLASS_WEIGHTS_NAME


def resolved_loss(spec, dataset: SegmentationDataset) -> tuple[str | dict | list, list[dict]]:
    """The loss as `losses.get` takes it, and what was counted from the data set.

    "balanced" and "median" become one number per class of the training data, and class names in a
    mapping become their numbers.

    Returns: the loss, and a record {"loss", "rule", "class_weights": {name: weight}} for each of
        its parts whose weights were counted.

    Raises: ValueError for a rule or a name that there is not, and if no pixel has a class.
    """
    entries, counted, names = [], [], dataset.classes.names
    for term in parse_loss(spec):
        options = dict(term.options)
        weights = options.get("class_weights")
        if isinstance(weights, str):
            rule = rule_named(weights)
            numbers = weights_by(rule, class_histogram(dataset)).tolist()
            if not any(numbers):
                raise ValueError(
                    f"class_weights={weights!r} of the loss {term.name!r} cannot be counted: every "
                    "pixel of the training masks is unknown (255)."
                )
            options["class_weights"] = numbers
            named = dict(zip(names, np.round(numbers, 6).tolist(), strict=True))
            counted.append({"loss": term.name, "rule": rule, "class_weights": named})
        elif isinstance(weights, Mapping):
            options["class_weights"] = by_class_number(weights, names)
        entries.append({"name": term.name, "weight": term.weight} | options)
    return entries, counted


def lines(counted: list[dict]) -> str:
    """What was counted, a line for each loss: "Class weights of 'dice' (median): cell 2.31"."""
    text = ""
    for record in counted:
        weights = ", ".join(f"{name} {w:.4g}" for name, w in record["class_weights"].items())
        text += f"Class weights of {record['loss']!r} ({record['rule']}): {weights}\n"
        absent = [name for name, weight in record["class_weights"].items() if not weight]
        if absent:
            text += f"In no training mask, and of weight 0: {', '.join(absent)}\n"
    return text


def write_class_weights(folder: Path, counted: list[dict]) -> None:
    """Writes what was counted into a run's folder; nothing if nothing was."""
    if counted:
        write_text(folder / CLASS_WEIGHTS_NAME, json.dumps(counted, indent=1))


def check_options(spec) -> None:
    """Raises ValueError for options of a recipe's loss that cannot be meant, before data are read.

    Class weights that need the data, counted or by name, are left to `resolved_loss`.
    """
    for term in parse_loss(spec):
        weights = term.options.get("class_weights")
        options = dict(term.options)
        if isinstance(weights, str | Mapping):
            del options["class_weights"]
        losses.get({"name": term.name, "weight": term.weight} | options)
