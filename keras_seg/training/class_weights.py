"""Class weights of a recipe's loss as numbers: rules are applied to the data, names looked up."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_seg.atomic_files import write_text
from keras_seg.data.balance.class_weights import weights_by
from keras_seg.data.balance.histogram import class_histogram
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.losses.class_weights import by_class_number, rule_named
from keras_seg.losses.own import is_segmentation_loss
from keras_seg.losses.spec import LossTerm
from keras_seg.training.run_folder import CLASS_WEIGHTS_NAME


def resolved_loss(
    terms: Sequence[LossTerm], dataset: SegmentationDataset
) -> tuple[list[dict], list[dict]]:
    """Replaces options that depend on the data: class weights by numbers, and `multi_label`.

    The rules "balanced" and "median" are counted from the data. Class names in a mapping become
    class indices.

    Args:
        terms: terms of the loss.
        dataset: training data.

    Returns: the loss as `losses.get` takes it, and a record {"loss", "rule", "class_weights":
        {name: weight}} for each term whose weights were counted.

    Raises: ValueError for an unknown rule or class name, and if no pixel has a class.
    """
    entries, counted, names = [], [], dataset.classes.names
    for term in terms:
        options = dict(term.options)
        if term.is_own and not is_segmentation_loss(term.name):
            entries.append({"name": term.name, "weight": term.weight} | options)
            continue
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
        if dataset.multi_label:
            options["multi_label"] = True
        entries.append({"name": term.name, "weight": term.weight} | options)
    return entries, counted


def options_without_data(term: LossTerm) -> dict:
    """The options of a term without class weights that the data or their class names decide."""
    options = dict(term.options)
    depend_on_data = isinstance(options.get("class_weights"), str | Mapping)
    if depend_on_data and not (term.is_own and not is_segmentation_loss(term.name)):
        del options["class_weights"]
    return options


def lines(counted: list[dict]) -> str:
    """One line per record, such as "Class weights of 'focal' (median): cell 2.31"."""
    text = ""
    for record in counted:
        weights = ", ".join(f"{name} {w:.4g}" for name, w in record["class_weights"].items())
        text += f"Class weights of {record['loss']!r} ({record['rule']}): {weights}\n"
        absent = [name for name, weight in record["class_weights"].items() if not weight]
        if absent:
            text += f"In no training mask, so their weight is 0: {', '.join(absent)}\n"
    return text


def write_class_weights(folder: Path, counted: list[dict]) -> None:
    """Writes counted weights into the folder of a run, if there are any."""
    if counted:
        write_text(folder / CLASS_WEIGHTS_NAME, json.dumps(counted, indent=1))
