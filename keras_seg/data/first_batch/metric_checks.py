"""Whether a metric fits the last layer of the network and the labels."""

from __future__ import annotations

from typing import Any

from keras_seg.data.first_batch.compiled import PROBABILITIES, Scores, percent
from keras_seg.data.mask_values.finding import Finding
from keras_seg.metrics.confusion import ConfusionMetric


def metric_findings(metric: Any, scores: Scores) -> list[Finding]:
    """Lists what is wrong with one metric for these scores and labels."""
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
                f"The metric {name!r} cuts at 0.5, and the network outputs logits, which are cut "
                "at 0. Take keras_seg.metrics.MeanIoU(2) or PixelAccuracy(2), or threshold=0.",
                error=False,
            )
        ]
    if kind == "meaniou" and getattr(metric, "sparse_y_pred", True):
        classes = max(2, scores.channels or 2)
        return [
            Finding(
                "metric",
                "keras.metrics.MeanIoU takes class indices as predictions, and would round the "
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
                f"{percent(scores.several)} of the pixels several channels of the mask are set: "
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
                f"outputs {channels} channels. Make it with num_classes={channels}.",
            )
        ]
    cuts = channels == 1 or multi_label  # otherwise the largest score wins in either case
    squashed = scores.head in PROBABILITIES
    if not cuts or scores.head is None or metric.from_logits != squashed:
        return []
    message = f"The metric {metric.name!r} has from_logits={metric.from_logits} and cuts scores at "
    if squashed:
        message += f"0, and the network ends in a {scores.head}, whose values are all above 0. "
        message += "Pass from_logits=False, which cuts at 0.5."
    else:
        message += "0.5, and the network outputs logits. Pass from_logits=True, which cuts at 0."
    return [Finding("metric", message)]
