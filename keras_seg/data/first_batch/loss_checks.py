"""Whether a loss fits the last layer of the network and the labels."""

from __future__ import annotations

from typing import Any

from keras_seg.data.first_batch.compiled import (
    BINARY,
    CATEGORICAL,
    DIFFERENCES,
    OVERLAP,
    PROBABILITIES,
    SPARSE,
    Scores,
    keras_function,
    percent,
)
from keras_seg.data.mask_values.finding import Finding
from keras_seg.losses import SegmentationLoss
from keras_seg.losses.spec import parse_loss
from keras_seg.names import IGNORE_CLASS

OURS = 'keras_seg.losses.get("cross_entropy")'


def loss_findings(loss: Any, scores: Scores) -> list[Finding]:
    """Lists what is wrong with one loss for these scores and labels."""
    if isinstance(loss, SegmentationLoss):
        return _of_ours(loss, scores)
    name, options = keras_function(loss)
    if name is None:
        return []
    if name == "":
        return [_no_loss(loss)]
    return [*_shape_of_labels(name, scores), *_squashing(name, options, scores)] or _values(
        name, options, scores
    )


def _of_ours(loss: SegmentationLoss, scores: Scores) -> list[Finding]:
    squashed = scores.head in PROBABILITIES
    if scores.soft and not loss.takes_soft_labels:
        return [
            Finding(
                "soft labels",
                f"The loss {loss.name!r} takes only hard labels, and {percent(scores.soft)} of the "
                "pixels are labelled between 0 and 1, which make it NaN. Round them, for "
                f"example by np.argmax(masks, -1), or take {OURS}.",
            )
        ]
    if loss.multi_label and scores.head == "softmax" and (scores.channels or 2) > 1:
        return [
            Finding(
                "one class per pixel",
                f"The loss {loss.name!r} has multi_label=True, and the network ends in a softmax, "
                "whose shares sum to 1: a pixel cannot have two labels. End the network in "
                "a sigmoid, or without an activation and with from_logits=True.",
            )
        ]
    if scores.head is None or loss.from_logits != squashed:
        return []
    return [_from_logits(f"The loss {loss.name!r}", loss.from_logits, scores.head)]


def _from_logits(what: str, from_logits: bool, head: str, written: str = "") -> Finding:
    passed = f"from_logits={not from_logits}"
    passed = f"{written}({passed})" if written else passed
    if from_logits:
        return Finding(
            "squashed twice",
            f"{what} takes logits (from_logits=True), and the network ends in a {head}: its "
            f"probabilities would be squashed twice. Pass {passed}, or end the network without an "
            "activation.",
        )
    return Finding(
        "not squashed",
        f"{what} takes probabilities (from_logits=False), and the network outputs logits. Pass "
        f"{passed}, or end the network in a softmax or sigmoid.",
    )


def _no_loss(name: str) -> Finding:
    reason = f"A name in compile means a loss of Keras, and Keras has no {name!r}."
    try:
        parse_loss(name)
    except ValueError:
        return Finding("loss", f"{reason} Names of this package: keras_seg.losses.LOSSES.")
    return Finding("loss", f'{reason} Write loss=keras_seg.losses.get("{name}").')


def _shape_of_labels(name: str, scores: Scores) -> list[Finding]:
    """Losses of Keras that would compare class indices with scores, or need several channels."""
    channels = scores.channels
    if channels is None:
        return []
    if channels == 1 and name in SPARSE | CATEGORICAL:
        return [
            Finding(
                "loss",
                f"Keras' {name} takes a channel for each class, and the network has one: the share "
                "of a single class is always 1, and the loss 0. Take "
                f"keras.losses.BinaryCrossentropy, or {OURS}.",
            )
        ]
    numbers = not scores.one_hot and not scores.multi_label
    if channels > 1 and numbers and name in CATEGORICAL | BINARY | OVERLAP | DIFFERENCES:
        better = OURS
        if name in OVERLAP or "focal" in name:
            better = f'keras_seg.losses.get("{"dice" if name in OVERLAP else "focal"}")'
        return [
            Finding(
                "loss",
                f"Keras' {name} compares each of the {channels} channels with the number of the "
                f"class. Take {better}, which takes masks of class indices; a name such as "
                f'"{name}" in compile means Keras\' own loss. Or give one-hot masks: '
                f"keras.ops.one_hot(masks, {channels}).",
            )
        ]
    if channels > 1 and scores.one_hot and name in SPARSE:
        return [
            Finding(
                "loss",
                f"Keras' {name} takes masks of class indices, and these are one-hot. Take {OURS}, "
                "which takes both, or np.argmax(masks, -1).",
            )
        ]
    return []


def _squashing(name: str, options: dict, scores: Scores) -> list[Finding]:
    if scores.head is None or name in DIFFERENCES:
        return []
    squashed, from_logits = scores.head in PROBABILITIES, options.get("from_logits", False)
    if name in OVERLAP:
        if squashed:
            return []
        return [
            Finding(
                "not squashed",
                f"Keras' {name} takes probabilities, and the network outputs logits. Take "
                'keras_seg.losses.get("dice"), or end the network in a softmax or sigmoid.',
            )
        ]
    if from_logits != squashed:
        return []
    written = f"keras.losses.{''.join(part.capitalize() for part in name.split('_'))}"
    return [_from_logits(f"Keras' {name}", from_logits, scores.head, written)]


def _values(name: str, options: dict, scores: Scores) -> list[Finding]:
    """Unknown pixels that a loss of Keras would treat as a class."""
    if not scores.unknown or scores.one_hot or options.get("ignore_class") == IGNORE_CLASS:
        return []
    remedy = "keras.losses.SparseCategoricalCrossentropy(ignore_class=255, ...), or "
    return [
        Finding(
            "unknown pixels",
            f"Keras' {name} takes 255, which means unknown in {percent(scores.unknown)} of the "
            "pixels, for a label. "
            f"Take {remedy if name in SPARSE else ''}{OURS}, which leaves these pixels out.",
        )
    ]
