"""Whether losses, metrics and class weights fit the network's last layer and the labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from keras_seg.data.mask_values.findings import Finding
from keras_seg.losses import SegmentationLoss, WeightedSum
from keras_seg.losses.spec import parse_loss
from keras_seg.metrics.confusion import ConfusionMetric
from keras_seg.names import IGNORE_CLASS

SPARSE = {"sparse_categorical_crossentropy"}
CATEGORICAL = {"categorical_crossentropy", "categorical_focal_crossentropy"}
BINARY = {"binary_crossentropy", "binary_focal_crossentropy"}
OVERLAP = {"dice", "tversky"}
DIFFERENCES = {
    "mean_squared_error",
    "mean_absolute_error",
    "mean_squared_logarithmic_error",
    "huber",
    "log_cosh",
    "kl_divergence",
    "poisson",
    "hinge",
    "squared_hinge",
    "categorical_hinge",
}
"""Functions behind Keras' losses."""
PROBABILITIES = ("softmax", "sigmoid")
OURS = 'keras_seg.losses.get("cross_entropy")'


@dataclass(frozen=True)
class Scores:
    """What a network puts out, beside the labels of the batches.

    head: "logits", "softmax", "sigmoid" or None for not known. channels: None for not known.
    one_hot: whether masks have a channel for each class. counts: pixels of each label.
    multi_label: whether each channel is a label of its own. ignored: the mask value that means
    unknown. several, soft: shares of the pixels with several channels set, and with a label
    between 0 and 1.
    """

    head: str | None
    channels: int | None
    one_hot: bool
    counts: Mapping[float, int]
    multi_label: bool
    ignored: int | None = IGNORE_CLASS
    several: float = 0.0
    soft: float = 0.0

    @property
    def unknown(self) -> float:
        """Share of the pixels that are 255."""
        return self.counts.get(IGNORE_CLASS, 0) / max(1, sum(self.counts.values()))


def losses_of(model: keras.Model) -> list[tuple[str, Any]]:
    """(output, loss) of a compiled model; the parts of a sum one by one."""
    given = getattr(model, "loss", None)
    if isinstance(given, dict):
        pairs = [(str(name), loss) for name, loss in given.items()]
    elif isinstance(given, list | tuple):
        pairs = [(str(number), loss) for number, loss in enumerate(given)]
    else:
        pairs = [("", given)]
    return [(name, part) for name, loss in pairs if loss is not None for part in _parts(loss)]


def ignored_by(losses: Sequence) -> int | None:
    """The mask value that all losses leave out; 255 where they differ or do not say."""
    ours = {loss.ignore_class for loss in losses if isinstance(loss, SegmentationLoss)}
    theirs = {getattr(loss, "ignore_class", None) for loss in losses} - {None}
    values = ours | theirs
    return values.pop() if len(values) == 1 else IGNORE_CLASS


def labels_overlap(losses: Sequence) -> bool:
    """Whether a binary loss of Keras takes each channel for a label of its own."""
    ours = any(isinstance(loss, SegmentationLoss) for loss in losses)
    return not ours and any(_function(loss)[0] in BINARY for loss in losses)


def _parts(loss) -> Iterator:
    if isinstance(loss, WeightedSum):
        for part in loss.losses:
            yield from _parts(part)
    else:
        yield loss


def weights_of(loss) -> Sequence[float] | Mapping | None:
    """The class weights of a loss of this package, None for others."""
    return loss.get_config().get("class_weights") if isinstance(loss, SegmentationLoss) else None


def metrics_of(model: keras.Model) -> list:
    """The metrics given to `compile`, of all outputs."""
    compiled = getattr(model, "_compile_metrics", None)
    given = [getattr(compiled, f"_user_{kind}", None) for kind in ("metrics", "weighted_metrics")]
    return [each for each in keras.tree.flatten(given) if each is not None]


def loss_findings(loss, scores: Scores) -> list[Finding]:
    """What is wrong with one loss for these scores and labels."""
    if isinstance(loss, SegmentationLoss):
        return _of_ours(loss, scores)
    name, options = _function(loss)
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
                f"The loss {loss.name!r} takes hard labels alone, and {_percent(scores.soft)} of "
                "the pixels are labelled between 0 and 1, which make it NaN. Round them, for "
                f"example by np.argmax(masks, -1), or take {OURS}.",
            )
        ]
    if loss.multi_label and scores.head == "softmax" and (scores.channels or 2) > 1:
        return [
            Finding(
                "one class per pixel",
                f"The loss {loss.name!r} has multi_label=True, and the network ends in a softmax, "
                "whose shares sum to 1: two labels of a pixel cannot both hold. End the network in "
                "a sigmoid, or without an activation and with from_logits=True.",
            )
        ]
    if scores.head is None or loss.from_logits != squashed:
        return []
    return [_from_logits(f"The loss {loss.name!r}", loss.from_logits, scores.head)]


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "under 0.1%"


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
        f"{what} takes probabilities (from_logits=False), and the network puts out logits. Pass "
        f"{passed}, or end the network in a softmax or sigmoid.",
    )


def _function(loss) -> tuple[str | None, dict]:
    """(name of Keras' function, its options): None for a loss of the user's, "" for none at all."""
    if isinstance(loss, str):
        if loss.lower() in ("crossentropy", "ce"):
            return loss.lower(), {}
        try:
            loss = keras.losses.get(loss)
        except ValueError:
            return "", {}
    function = getattr(loss, "fn", loss)
    name = getattr(function, "__name__", None)
    known = SPARSE | CATEGORICAL | BINARY | OVERLAP | DIFFERENCES
    if name not in known or not function.__module__.startswith("keras."):
        return None, {}
    return name, dict(getattr(loss, "_fn_kwargs", {}))


def _no_loss(name: str) -> Finding:
    told = f"A name in compile means a loss of Keras, and Keras has no {name!r}."
    try:
        parse_loss(name)
    except ValueError:
        return Finding("loss", f"{told} Names of this package: keras_seg.losses.LOSSES.")
    return Finding("loss", f'{told} Write loss=keras_seg.losses.get("{name}").')


def _shape_of_labels(name: str, scores: Scores) -> list[Finding]:
    """Losses that would compare class numbers with scores, or a class with itself."""
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
                f"class. Take {better}, which takes masks of class numbers; a name such as "
                f'"{name}" in compile means Keras\' own loss. Or give one-hot masks: '
                f"keras.ops.one_hot(masks, {channels}).",
            )
        ]
    if channels > 1 and scores.one_hot and name in SPARSE:
        return [
            Finding(
                "loss",
                f"Keras' {name} takes masks of class numbers, and these are one-hot. Take {OURS}, "
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
                f"Keras' {name} takes probabilities, and the network puts out logits. Take "
                'keras_seg.losses.get("dice"), or end the network in a softmax or sigmoid.',
            )
        ]
    if from_logits != squashed:
        return []
    written = f"keras.losses.{''.join(part.capitalize() for part in name.split('_'))}"
    return [_from_logits(f"Keras' {name}", from_logits, scores.head, written)]


def _values(name: str, options: dict, scores: Scores) -> list[Finding]:
    """Unknown pixels that a loss of Keras would take for a class."""
    if not scores.unknown or scores.one_hot or options.get("ignore_class") == IGNORE_CLASS:
        return []
    share = f"{scores.unknown:.1%}" if scores.unknown >= 0.001 else "under 0.1%"
    remedy = "keras.losses.SparseCategoricalCrossentropy(ignore_class=255, ...), or "
    return [
        Finding(
            "unknown pixels",
            f"Keras' {name} takes 255, which means unknown in {share} of the pixels, for a label. "
            f"Take {remedy if name in SPARSE else ''}{OURS}, which leaves these pixels out.",
        )
    ]


def metric_findings(metric, scores: Scores) -> list[Finding]:
    """What is wrong with one metric."""
    if isinstance(metric, ConfusionMetric):
        return _metric_of_ours(metric, scores)
    name = metric if isinstance(metric, str) else type(metric).__name__
    kind = name.lower().replace("_", "")
    logits, one = scores.head == "logits", scores.channels == 1
    if kind in ("accuracy", "acc", "binaryaccuracy", "binaryiou") and logits and one:
        threshold = getattr(metric, "threshold", 0.5)
        if threshold != 0.5:
            return []
        return [
            Finding(
                "metric",
                f"The metric {name!r} cuts at 0.5, and the network puts out logits, which are cut "
                "at 0. Take keras_seg.metrics.MeanIoU(2) or PixelAccuracy(2), or threshold=0.",
                error=False,
            )
        ]
    if kind == "meaniou" and getattr(metric, "sparse_y_pred", True):
        classes = max(2, scores.channels or 2)
        return [
            Finding(
                "metric",
                "keras.metrics.MeanIoU takes class numbers as predictions, and would round the "
                f"scores of the network to these. Take keras_seg.metrics.MeanIoU({classes}).",
            )
        ]
    accuracy = kind in ("accuracy", "acc", "sparsecategoricalaccuracy", "binaryaccuracy")
    if accuracy and scores.unknown and not scores.one_hot:
        return [
            Finding(
                "metric",
                f"The metric {name!r} counts {scores.unknown:.1%} of the pixels, which are 255 "
                "(unknown), as wrong. Take keras_seg.metrics.PixelAccuracy.",
                error=False,
            )
        ]
    return []


def _metric_of_ours(metric: ConfusionMetric, scores: Scores) -> list[Finding]:
    channels = scores.channels
    classes = None if channels is None else max(2, channels)
    multi_label = scores.multi_label or metric.multi_label
    if scores.multi_label and scores.several and not metric.multi_label:
        return [
            Finding(
                "metric",
                f"The metric {metric.name!r} counts one class per pixel, and in "
                f"{_percent(scores.several)} of the pixels several channels of the mask are set: "
                "it is NaN. Make it with multi_label=True.",
            )
        ]
    if metric.ignore_class != scores.ignored and scores.counts.get(scores.ignored):
        return [
            Finding(
                "metric",
                f"The metric {metric.name!r} has ignore_class={metric.ignore_class}, and the loss "
                f"leaves out {scores.ignored}. Make it with ignore_class={scores.ignored}.",
            )
        ]
    if not multi_label and classes not in (None, metric.num_classes):
        return [
            Finding(
                "metric",
                f"The metric {metric.name!r} counts {metric.num_classes} classes, and the network "
                f"puts out {channels} channels. Make it with num_classes={channels}.",
            )
        ]
    cuts = channels == 1 or multi_label  # with several channels the largest wins in either case
    squashed = scores.head in PROBABILITIES
    if not cuts or scores.head is None or metric.from_logits != squashed:
        return []
    given = f"The metric {metric.name!r} has from_logits={metric.from_logits}"
    if squashed:
        told = f"{given} and cuts scores at 0, and the network ends in a {scores.head}, whose "
        told += "values are all above 0. Pass from_logits=False, which cuts at 0.5."
    else:
        told = f"{given} and cuts scores at 0.5, and the network puts out logits. Pass "
        told += "from_logits=True, which cuts at 0."
    return [Finding("metric", told)]


def class_weight_findings(
    class_weights: Sequence[float] | Mapping[int, float],
    counts: Mapping[float, int],
    *,
    num_classes: int | None,
    ignore_class: int | None,
    whole: bool,
) -> list[Finding]:
    """What is wrong with weights of classes.

    whole: whether `counts` are of all masks.
    """
    classes = None if num_classes is None else max(2, num_classes)
    weights = (
        {int(number): float(weight) for number, weight in class_weights.items()}
        if isinstance(class_weights, Mapping)
        else dict(enumerate(map(float, class_weights)))
    )
    beyond = [number for number in weights if classes is not None and not 0 <= number < classes]
    beyond = [number for number in beyond if weights[number] != 1]
    if isinstance(class_weights, Mapping) and beyond:
        return [
            Finding(
                "class weights",
                f"class_weights names class {_listed(beyond)}, and the classes are 0 to "
                f"{classes - 1}. Correct the number, or build the network with more classes.",
            )
        ]
    if not isinstance(class_weights, Mapping) and classes not in (None, len(weights)):
        return [
            Finding(
                "class weights",
                f"class_weights has {len(weights)} numbers, and there are {classes} classes. Give "
                "one number for each class.",
            )
        ]
    if isinstance(class_weights, Mapping) and classes is not None:
        weights = dict.fromkeys(range(classes), 1.0) | weights
    if len(weights) > 1 and sum(weight > 0 for weight in weights.values()) == 1:
        (only,) = (number for number, weight in weights.items() if weight > 0)
        return [
            Finding(
                "class weights",
                f"class_weights leaves class {only} alone with a weight above 0: all other pixels "
                "do not count, and the network learns to answer it everywhere. Give the others a "
                "weight, too.",
            )
        ]
    present = {int(value): n for value, n in counts.items() if value != ignore_class and n}
    if not present:
        return []
    if all(weights.get(number, 0) == 0 for number in present):
        return [
            Finding(
                "class weights",
                f"class_weights is 0 for every class in the masks ({_listed(present)}): no pixel "
                "counts. Give these classes a weight.",
                error=whole,
            )
        ]
    absent = [number for number in weights if number not in present]
    named = {number: weights[number] for number in absent if weights.get(number, 0) > 0}
    # classes that a mapping leaves out weigh 1; equal weights mean no class at all
    if isinstance(class_weights, Mapping):
        named = {number: weight for number, weight in named.items() if weight != 1}
    elif len(set(weights.values())) == 1:
        named = {}
    if not named:
        return []
    listed = ", ".join(f"{number} ({weight:.6g})" for number, weight in [*named.items()][:8])
    pixels = sum(present.values())
    where = "of the masks" if whole else "looked at"
    told = (
        f"class_weights gives a weight to {'classes' if len(named) > 1 else 'class'} {listed}, "
        f"which {'have' if len(named) > 1 else 'has'} none of the {pixels:,} pixels {where}."
    )
    advice = "Look whether weights and masks number the classes alike."
    if not whole:
        advice += " Classes that are rare show with a larger number_of_batches."
    return [Finding("class weights", f"{told} {advice}", error=False)]


def _listed(numbers) -> str:
    numbers = sorted(numbers)
    shown = ", ".join(map(str, numbers[:8]))
    return f"{shown}, ..., {numbers[-1]}" if len(numbers) > 8 else shown
