"""Losses and metrics of the user, named by import path in a recipe: made, and tried on a batch."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_seg import losses
from keras_seg.import_paths import call_by_path, import_by_path, path_and_arguments
from keras_seg.names import IGNORE_CLASS
from keras_seg.training.class_weights import options_without_data
from keras_seg.training.recipe import Recipe

METRIC_EXAMPLE = "my_metrics:MyMetric"
OF_THE_PACKAGE = ("loss", "mean_iou")
"""Names of the scores that every training logs."""
SHAPE = (2, 8, 8)
GUESSED_CLASSES = 3
"""Number of classes in the first trial, if the recipe does not say it."""
LONGEST_REASON = 200
"""Number of characters of a foreign error in a message."""


def own_metrics(entries: Sequence[Any] | None) -> list[keras.metrics.Metric]:
    """Makes the metrics of a recipe.

    Args:
        entries: import paths of classes of metrics or of functions of (masks, scores), or mappings
            with "path" and the arguments.

    Raises: ValueError for what is not a metric, for arguments that it does not take, and for a name
        that two metrics share.
    """
    metrics = [_metric(entry) for entry in entries or ()]
    names = [*OF_THE_PACKAGE, *(metric.name for metric in metrics)]
    for metric, entry in zip(metrics, entries or (), strict=True):
        if names.count(metric.name) > 1:
            raise ValueError(
                f"metrics: the name {metric.name!r} of {entry!r} is taken. Give the metric another "
                "name, such as {path: ..., name: my_score}."
            )
    return metrics


def _metric(entry: Any) -> keras.metrics.Metric:
    path, arguments = path_and_arguments(entry, "metric", "metrics", METRIC_EXAMPLE)
    what = import_by_path(path, "metric", METRIC_EXAMPLE)
    if isinstance(what, type):
        made = call_by_path(path, arguments, "metric", METRIC_EXAMPLE)
        if isinstance(made, keras.metrics.Metric):
            return made
    elif callable(what) and not isinstance(what, keras.metrics.Metric):
        name = arguments.pop("name", path.partition(":")[2])
        return keras.metrics.MeanMetricWrapper(what, name=name, **arguments)
    raise ValueError(
        "A metric is a class of keras.metrics.Metric, or a function of (masks, scores). Received: "
        f"{path}, which is {getattr(what, '__name__', type(what).__name__)}"
    )


def check_own_steps(recipe: Recipe) -> None:
    """Traces the losses and metrics of the user as a training step does, before data are opened.

    The number of classes may be a guess then, so those that fail on arrays, too, are left to
    `check_own_losses`.

    Raises: ValueError for one that works on arrays, and not in a compiled step.
    """
    if not recipe.metrics and not any(term.is_own for term in recipe.loss_terms):
        return
    classes = recipe.num_classes or len(recipe.classes or ()) or GUESSED_CLASSES
    masks, scores = _small_batch(recipe, classes, classes, bool(recipe.multi_label))
    for compute, what in _own(recipe, bool(recipe.multi_label)):
        try:
            compute(ops.convert_to_tensor(masks), scores)
        except Exception:  # perhaps for the number of classes
            continue
        _check_traced(compute, masks, scores, what)


def _own(recipe: Recipe, multi_label: bool) -> Iterator[tuple[Callable, str]]:
    """The losses and metrics of the user, each with what messages call it."""
    for term in recipe.loss_terms:
        if term.is_own:
            loss = losses.get({"path": term.name} | options_without_data(term))
            if multi_label and hasattr(loss, "multi_label"):
                loss.multi_label = True
            yield loss, f"loss {term.name}"
    for entry, metric in zip(recipe.metrics or (), own_metrics(recipe.metrics), strict=True):
        yield metric, f"metric {entry}"


def check_own_losses(recipe: Recipe, num_classes: int, channels: int, multi_label: bool) -> None:
    """Computes the losses and metrics of the user on a small batch.

    Args:
        recipe: the recipe.
        num_classes: number of classes of the data.
        channels: number of output channels of the network.
        multi_label: whether a pixel of the data may have several classes.

    Raises: ValueError if one fails, or does not return a finite number.

    Warns: on stderr, if a loss is not finite where a mask holds 255.
    """
    masks, scores = _small_batch(recipe, num_classes, channels, multi_label)
    for compute, what in _own(recipe, multi_label):
        _check_number(compute, masks, scores, what)
        _check_traced(compute, masks, scores, what)
        if not isinstance(compute, keras.metrics.Metric):
            _tell_of_unknown_pixels(compute, masks, scores, what.removeprefix("loss "))
        elif not compute.variables:
            raise ValueError(
                f"The {what} has no variables. A compiled step keeps no other attributes. "
                "Make its state by self.add_weight, and change it by assign_add."
            )


def _small_batch(
    recipe: Recipe, num_classes: int, channels: int, multi_label: bool
) -> tuple[np.ndarray, Any]:
    """Masks of all classes, and scores as the network outputs them."""
    random = np.random.default_rng(0)
    if multi_label:
        masks = random.integers(0, 2, (*SHAPE, num_classes)).astype(np.uint8)
    else:
        masks = random.integers(0, max(num_classes, 2), SHAPE).astype(np.int32)
    scores = ops.convert_to_tensor(random.normal(size=(*SHAPE, channels)).astype(np.float32))
    activation = recipe.model_options.get("activation")
    return masks, scores if activation is None else keras.activations.get(activation)(scores)


def _check_number(compute: Callable, masks: np.ndarray, scores: Any, what: str) -> None:
    shapes = f"masks {masks.shape} {masks.dtype} and scores {tuple(scores.shape)} float32"
    try:
        value = compute(ops.convert_to_tensor(masks), scores)
    except Exception as error:  # anything may fail in the code of the user
        raise ValueError(
            f"The {what} fails for {shapes}: {type(error).__name__}: {error}. Correct it, or leave "
            "it out."
        ) from error
    values = value.values() if isinstance(value, dict) else [value]
    for number in map(ops.convert_to_numpy, values):
        if number.shape != () or not np.isfinite(number):
            received, remedy = str(number), "Look for a division by 0 or a logarithm of 0."
            if number.shape:
                received = f"an array of shape {number.shape}"
                remedy = "End it in a mean, such as `return keras.ops.mean(values)`."
            raise ValueError(
                f"The {what} must return one finite number for {shapes}. Received: {received}. "
                f"{remedy}"
            )


def _check_traced(compute: Callable, masks: np.ndarray, scores: Any, what: str) -> None:
    """Raises ValueError if `compute` fails on tensors without values, as a training step has."""
    errors: list[Exception] = []

    class Step(keras.layers.Layer):
        def call(self, masks: Any, scores: Any) -> Any:
            try:
                compute(masks, scores)
            except Exception as error:  # anything may fail in the code of the user
                errors.append(error)
            return scores

    of_scores = keras.KerasTensor(scores.shape, "float32")
    Step(dtype="float32")(keras.KerasTensor(masks.shape, str(masks.dtype)), of_scores)
    if errors:
        reason = textwrap.shorten(f"{type(errors[0]).__name__}: {errors[0]}", LONGEST_REASON)
        raise ValueError(
            f"The {what} works on arrays, and fails in a compiled training step, whose tensors "
            f"have no values yet ({reason}). Write it with keras.ops: keras.ops.mean(x) in place "
            "of np.mean(x), keras.ops.where in place of if, and neither .numpy() nor float(x)."
        ) from errors[0]


def _tell_of_unknown_pixels(loss: Callable, masks: np.ndarray, scores: Any, path: str) -> None:
    masks = masks.copy()
    masks[0, 0] = IGNORE_CLASS
    try:
        value = float(ops.convert_to_numpy(loss(ops.convert_to_tensor(masks), scores)))
    except Exception:  # the operations of a Keras backend refuse class 255 by errors of their own
        value = float("nan")
    if not np.isfinite(value):
        sys.stderr.write(
            f"Look at the loss: {path} is not a number where a mask holds {IGNORE_CLASS}, which "
            "marks unknown pixels and the border of small images. Derive it from "
            "keras_seg.losses.SegmentationLoss, which leaves them out.\n"
        )
