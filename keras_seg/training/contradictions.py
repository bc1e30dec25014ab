"""Entries of a recipe that contradict each other. Imports no TensorFlow.

Checked when a training starts, not when a recipe is read, so that the recipes of older runs can
still be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_seg.losses.class_weights import by_class_number, class_weights_of, rule_named
from keras_seg.losses.spec import LossTerm
from keras_seg.names import IGNORE_CLASS
from keras_seg.training.recipe import OptimizerOptions, Recipe, ScheduleOptions

WITH_MOMENTUM = ("sgd", "rmsprop")
OWN_ENTRIES = {"num_classes": "num_classes", "input_shape": "channels", "name": "model"}
"""Arguments of builders that have their own entry in a recipe."""
ONE_CLASS_PER_PIXEL = {"lovasz_softmax": "lovasz_hinge"}
"""Losses that have no form for several classes per pixel, and the similar one that has."""


def check_recipe(recipe: Recipe) -> None:
    """Raises ValueError that names two contradicting entries and what to do."""
    for contradiction in _contradictions(recipe):
        raise ValueError(contradiction)


def check_loss(
    recipe: Recipe,
    num_classes: int,
    names: Sequence[str] | None = None,
    *,
    multi_label: bool = False,
) -> None:
    """Raises ValueError for a loss whose options do not fit the classes of the data.

    Args:
        recipe: the recipe.
        num_classes: number of classes of the data.
        names: names of the classes, if class weights may be given by name.
        multi_label: whether a pixel of the data may have several classes.
    """
    expected = num_classes if multi_label else max(num_classes, 2)  # one channel is two classes
    for contradiction in _labels_of_losses(recipe, multi_label):
        raise ValueError(contradiction)
    for contradiction in _classes_of_losses(recipe, expected, "the data's classes", names):
        raise ValueError(contradiction)


def _contradictions(recipe: Recipe) -> Iterator[str]:
    yield from _schedule(recipe)
    yield from _optimizer(recipe)
    yield from _classes(recipe)
    yield from _network(recipe)
    yield from _teacher(recipe)
    yield from _losses(recipe)
    yield from _images(recipe)
    yield from _folds(recipe)
    yield from _paths(recipe)


def _schedule(recipe: Recipe) -> Iterator[str]:
    options, schedule = recipe.schedule_options, recipe.schedule
    if options.warmup_epochs >= recipe.epochs:
        yield (
            f"schedule_options.warmup_epochs={options.warmup_epochs} contradicts epochs="
            f"{recipe.epochs}: the training would end before its warm-up. Take fewer epochs of "
            "warm-up, or more epochs."
        )
    if schedule == "plateau" and options.warmup_epochs:
        yield (
            f'schedule_options.warmup_epochs={options.warmup_epochs} contradicts schedule "plateau"'
            ", which sets the rate of whole epochs. Set warmup_epochs to 0, or choose another "
            "schedule."
        )
    early_stop = recipe.early_stop
    if schedule == "plateau" and early_stop is not None and early_stop <= options.patience:
        yield (
            f"early_stop={early_stop} contradicts schedule_options.patience="
            f"{options.patience}: the training would end before its rate falls. Make early_stop "
            "larger, or patience smaller."
        )
    if recipe.monitor != "miou" and early_stop is None and schedule != "plateau":
        yield (
            f"monitor={recipe.monitor!r} has no effect without early_stop and with schedule "
            f"{schedule!r}. Set early_stop, choose schedule 'plateau', or leave monitor out."
        )
    plain = ScheduleOptions()
    for option, schedules in (
        ("step_epochs", ("step",)),
        ("power", ("poly",)),
        ("patience", ("plateau",)),
        ("factor", ("step", "plateau")),
    ):
        value, usual = getattr(options, option), getattr(plain, option)
        if value != usual and schedule not in schedules:
            yield (
                f"schedule_options.{option}={value} contradicts schedule {schedule!r}: it is for "
                f"{_either(schedules)}. Choose such a schedule, or leave {option} at {usual}."
            )


def _optimizer(recipe: Recipe) -> Iterator[str]:
    options, usual = recipe.optimizer_options, OptimizerOptions().momentum
    if options.nesterov and recipe.optimizer != "sgd":
        yield (
            f"optimizer_options.nesterov=True contradicts optimizer {recipe.optimizer!r}: it is "
            "for 'sgd'. Choose that, or leave nesterov out."
        )
    if options.nesterov and not options.momentum:
        yield (
            f"optimizer_options.nesterov=True contradicts optimizer_options.momentum="
            f"{options.momentum}: it needs momentum. Raise it, or leave nesterov out."
        )
    if options.momentum != usual and recipe.optimizer not in WITH_MOMENTUM:
        yield (
            f"optimizer_options.momentum={options.momentum} contradicts optimizer "
            f"{recipe.optimizer!r}: it is for {_either(WITH_MOMENTUM)}. Choose one of these, or "
            f"leave momentum at {usual}."
        )


def _classes(recipe: Recipe) -> Iterator[str]:
    names = recipe.classes
    one_channel = recipe.num_classes == 1 and names is not None and len(names) == 2
    if names is not None and recipe.num_classes not in (None, len(names)) and not one_channel:
        yield (
            f"num_classes={recipe.num_classes} contradicts classes, which names {len(names)} "
            f"({', '.join(names)}). Leave num_classes out, or correct classes."
        )


def _network(recipe: Recipe) -> Iterator[str]:
    for option, entry in OWN_ENTRIES.items():
        if option in recipe.model_options:
            yield (
                f"model_options.{option}={recipe.model_options[option]} contradicts the entry "
                f"{entry}={getattr(recipe, entry)} of the recipe. Leave it out of model_options."
            )


def _teacher(recipe: Recipe) -> Iterator[str]:
    for entry in ("teacher_weight", "teacher_temperature"):
        value = getattr(recipe, entry)
        if recipe.teacher is None and value != getattr(Recipe, entry):
            yield (
                f"{entry}={value} has no effect without a teacher. Set teacher to the model.keras "
                f"of a trained network, or leave {entry} out."
            )


def _losses(recipe: Recipe) -> Iterator[str]:
    activation = recipe.model_options.get("activation")
    for term in _known_terms(recipe):
        yield from _class_weights(term)
        ignored = term.options.get("ignore_class", IGNORE_CLASS)
        if ignored != IGNORE_CLASS:
            yield (
                f"{_option(term, 'ignore_class')} contradicts the data, whose masks mark unknown "
                f"pixels, and the border of small images, by {IGNORE_CLASS}. Leave ignore_class "
                f"out, and write {IGNORE_CLASS} to the masks where pixels are unknown."
            )
        logits = term.options.get("from_logits", True)
        if bool(logits) == (activation is not None):
            given = f"model_options.activation={activation!r}"
            yield (
                f"{_option(term, 'from_logits', True)} contradicts {given}: with an activation "
                "the network outputs probabilities, without one it outputs logits. Leave both out."
            )
        reduction = term.options.get("reduction", "sum_over_batch_size")
        if reduction in (None, "none"):
            yield (
                f"{_option(term, 'reduction')} contradicts training, which needs one number per "
                "step. Leave reduction out."
            )
    count = recipe.num_classes if recipe.classes is None else len(recipe.classes)
    if count is not None:
        entry = "classes" if recipe.classes is not None else "num_classes"
        yield from _classes_of_losses(recipe, max(count, 2), entry, recipe.classes)


def _labels_of_losses(recipe: Recipe, multi_label: bool) -> Iterator[str]:
    """Losses for one class per pixel on multi-label data, and the reverse."""
    for term in _known_terms(recipe):
        stated = term.options.get("multi_label", multi_label)
        if stated and not multi_label:
            yield (
                f"{_option(term, 'multi_label')} contradicts the data, whose masks name one class "
                "per pixel. Leave multi_label out of the loss. If pixels may have several classes, "
                'set the entry multi_label of the recipe, or "multi_label": true in classes.json.'
            )
        if multi_label and not stated:
            yield (
                f"{_option(term, 'multi_label')} contradicts the data, in which a pixel may have "
                "several classes. Leave multi_label out of the loss."
            )
        if multi_label and term.name in ONE_CLASS_PER_PIXEL:
            yield (
                f"The loss {term.name!r} contradicts the data, in which a pixel may have several "
                f"classes: its softmax makes them exclude each other. Take "
                f"{ONE_CLASS_PER_PIXEL[term.name]!r}, or another loss."
            )
    activation = recipe.model_options.get("activation")
    if multi_label and activation not in (None, "sigmoid"):
        yield (
            f"model_options.activation={activation!r} contradicts the data, in which a pixel may "
            "have several classes. Leave activation out; each class then has its own sigmoid."
        )


def _class_weights(term: LossTerm) -> Iterator[str]:
    """Class weights that are wrong for any classes."""
    weights = term.options.get("class_weights")
    try:
        if isinstance(weights, str):
            rule_named(weights)
        elif not isinstance(weights, Mapping):
            class_weights_of(weights)
    except ValueError as error:
        yield f"The loss {term.name!r}: {error}"


def _weights_by_class(
    term: LossTerm, names: Sequence[str], entry: str, expected: int
) -> Iterator[str]:
    """Class weights, as a mapping of class indices or names, that are wrong for these classes."""
    try:
        numbers = class_weights_of(by_class_number(term.options["class_weights"], names))
        numbers.for_classes(expected)
    except ValueError as error:
        yield f"The loss {term.name!r} contradicts {entry}: {error}"


def _classes_of_losses(
    recipe: Recipe, expected: int, entry: str, names: Sequence[str] | None = None
) -> Iterator[str]:
    """Weights and chosen classes of losses that do not fit `expected` classes."""
    for term in _known_terms(recipe):
        if isinstance(term.options.get("class_weights"), Mapping) and names is not None:
            yield from _weights_by_class(term, names, entry, expected)
        weights, chosen = term.options.get("class_weights"), term.options.get("classes")
        if isinstance(weights, list | tuple | np.ndarray) and len(weights) != expected:
            yield (
                f"class_weights of the loss {term.name!r} has {len(weights)} numbers, which "
                f"contradicts {entry}: {expected}. Give {expected} numbers, one per class."
            )
        if isinstance(chosen, list | tuple):
            beyond = [c for c in chosen if isinstance(c, int) and not 0 <= c < expected]
            if beyond:
                yield (
                    f"{_option(term, 'classes')} contradicts {entry}: {expected}; there is no "
                    f"class {beyond[0]}. Count from 0 to {expected - 1}."
                )


def _images(recipe: Recipe) -> Iterator[str]:
    largest = recipe.augmentation.scale[1]
    sides = zip(recipe.crop, recipe.resize or recipe.crop, strict=True)
    if any(crop > resize * max(largest, 1) for crop, resize in sides):
        yield (
            f"crop={list(recipe.crop)} contradicts resize={list(recipe.resize)}: it is larger than "
            f"images of that size at augmentation.scale={list(recipe.augmentation.scale)}, so that "
            "each crop would have an empty border. Make the crop smaller, or resize larger."
        )
    if recipe.channels == 1 and recipe.augmentation.hue:
        yield (
            f"augmentation.hue={recipe.augmentation.hue} contradicts channels=1: grey images have "
            "no hue. Leave hue out, or set channels to 3."
        )


def _folds(recipe: Recipe) -> Iterator[str]:
    if recipe.fold_group is not None and recipe.fold is None:
        yield (
            'fold_group needs fold, such as "2/5", or --folds, which trains every fold. Received: '
            f"fold_group={recipe.fold_group!r} and no fold"
        )


def _paths(recipe: Recipe) -> Iterator[str]:
    output = Path(recipe.output).resolve()
    if Path(recipe.data).resolve() == output:
        yield (
            f"output={recipe.output} contradicts data={recipe.data}: it is the folder of the data. "
            "Choose another --output."
        )
    for entry in ("initial_weights", "teacher"):
        path = getattr(recipe, entry)
        if path is not None and Path(path).resolve().parent == output:
            yield (
                f"output={recipe.output} contradicts {entry}={path}, a file in that folder, "
                "which would be overwritten. Choose another --output."
            )


def _known_terms(recipe: Recipe) -> list[LossTerm]:
    """The terms of the loss whose options are known: not losses of the user."""
    return [term for term in recipe.loss_terms if not term.is_own]


def _option(term: LossTerm, option: str, usual: Any = None) -> str:
    return f"{option}={term.options.get(option, usual)} of the loss {term.name!r}"


def _either(names: tuple[str, ...]) -> str:
    return " or ".join(map(repr, names))
