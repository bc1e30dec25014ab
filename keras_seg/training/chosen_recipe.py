"""A recipe whose missing entries are chosen from the data, with the reason of each choice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.reading.ranges import MEASURED
from keras_seg.training.contradictions import check_recipe
from keras_seg.training.data_sets import open_named
from keras_seg.training.default_rules import RULES, Facts
from keras_seg.training.fingerprint import (
    READ,
    Fingerprint,
    Machine,
    fingerprint_of,
    stored_facts,
    this_machine,
)
from keras_seg.training.recipe import RECIPE_NAME, Recipe
from keras_seg.training.recipe_io import check_keys, from_record, read_yaml
from keras_seg.training.run_folder import FREE, has_training

AUTO = "auto"
"""The model of a recipe whose network is chosen, too."""
LINES = ("network", "images", "training", "loss")


def choose_recipe(data: str, output: str, **entries: Any) -> Recipe:
    """A recipe for a data set: what is not given is chosen from its images and from this machine.

    `keras-seg train --data FOLDER --output RUN` trains with it. About 200 training images are read.
    `recipe.chosen` says what was chosen, and why. If the output folder holds an unfinished or
    finished run, its recipe is taken, so that the run resumes.

    Args:
        data: name of the data set, as for `Recipe`.
        output: folder of the run.
        entries: entries of `Recipe` that are kept. Of `augmentation` and the other nested entries,
            a mapping may give some.

    Returns: the recipe.

    Raises: as `open_dataset`; ValueError for wrong entries, and for entries that contradict each
        other.

    Example:
        >>> recipe = keras_seg.training.choose_recipe("builtin:cells", "runs/cells", epochs=5)
        >>> recipe.model, recipe.crop, recipe.epochs
        ('unet', (128, 128), 5)
    """
    given = {"data": data, "output": output, **entries}
    if given.get("model") == AUTO:
        del given["model"]
    check_keys(given, Recipe)
    earlier = _recipe_of_run(given)
    if earlier is not None:
        return from_record(merged(earlier, given), Recipe)
    fingerprint = _fingerprint(given)
    recipe = from_record(chosen_entries(fingerprint, this_machine(), given), Recipe)
    check_recipe(recipe)
    return recipe


def chosen_entries(data: Fingerprint, machine: Machine, given: Mapping[str, Any]) -> dict[str, Any]:
    """Applies all rules to a fingerprint.

    Args:
        data: the fingerprint.
        machine: the machine.
        given: entries of the recipe that are kept.

    Returns: the entries of a recipe: those that are given, those that are chosen, and "chosen".
    """
    facts = Facts(data, machine, dict(given), given)
    parts: dict[str, list[str]] = {line: [] for line in LINES}
    for rule in RULES:
        if not isinstance(given.get(rule.entries[0], {}), Mapping):
            continue
        choice = rule.choose(facts)
        if choice is not None:
            facts.entries = merged(choice.entries, facts.entries)
            parts[rule.line].append(f"{choice.text} ({choice.reason})")
    said = {line: "; ".join(texts) for line, texts in parts.items() if texts}
    return facts.entries | {"chosen": said}


def chosen_lines(recipe: Recipe) -> str:
    """What was chosen, in up to four lines, such as "Network: U-Net ... (...)"."""
    return "".join(f"{line.capitalize()}: {text}\n" for line, text in (recipe.chosen or {}).items())


def merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Entries of both; those of `over` win. Nested mappings of options are merged, too."""
    result = {**under, **over}
    for key in ("augmentation", "schedule_options", "optimizer_options"):
        if isinstance(under.get(key), Mapping) and isinstance(over.get(key), Mapping):
            result[key] = {**under[key], **over[key]}
    return result


def _recipe_of_run(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """The recipe of the run in the output folder, without what may change; None if it has none."""
    path = Path(given["output"]) / RECIPE_NAME
    if given.get("overwrite") or not path.exists() or not has_training(path.parent):
        return None
    kept = FREE - {"chosen"}
    return {key: value for key, value in read_yaml(path).items() if key not in kept}


def _fingerprint(given: dict[str, Any]) -> Fingerprint:
    """Opens the data with the given entries, and reads a part of them.

    Channels and the range of images of more than 8 bits are taken from the files, if not given.
    """
    train = _open(given, "train")
    channels, is_deep = stored_facts(getattr(train, "complete", train))
    found = {"channels": channels} | ({"value_range": MEASURED} if is_deep else {})
    if "window" in given:
        found.pop("value_range", None)
    if channels != train.channels or is_deep:
        train = _open({**found, **given}, "train")
    validation_images = len(_open({**found, **given}, "val"))
    data = fingerprint_of(train, validation_images=validation_images, stored_bits=is_deep)
    if data.images <= READ and not any(data.shares[1:]) and not data.multi_label:
        raise ValueError(
            f"The masks of {given['data']} show only class 0, so there is nothing to learn. Write "
            "the class numbers 1, 2, ... where the objects are. To look at the masks: keras-seg "
            "verify-dataset."
        )
    return data


def _open(given: Mapping[str, Any], split: str) -> SegmentationDataset:
    recipe = from_record({key: given[key] for key in given if key in OPENING}, Recipe)
    return open_named(recipe, split)


OPENING = (
    *("data", "output", "on_error", "classes", "channels"),
    *("multi_label", "value_range", "window", "nodata"),
)
"""Entries of a recipe that decide how its data are opened."""
