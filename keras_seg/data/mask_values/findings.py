"""Checks the values of masks: the one place that says what is wrong with labels.

Readers of folders, `verify-dataset` and `check_batches` count the values of masks and call
`label_findings`. They differ only in the line that their user has to write (`Remedies`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from keras_seg.data.mask_values.counted_labels import (
    CountedLabels,
    listed,
    plain_number,
    short_list,
)
from keras_seg.data.mask_values.finding import Finding
from keras_seg.data.mask_values.looks_like import LARGEST_LEVEL, looks_like
from keras_seg.data.mask_values.remedies import ARRAYS, Remedies
from keras_seg.names import IGNORE_CLASS

MANY = 32
"""More values than this are instances, colours or pictures, not class indices."""
NEAR_ALL = 0.95
"""Share of unknown pixels from which masks are reported as mostly unknown."""
SEEN_IN_A_FILE = ("outside", "negative", "off by one", "grey levels", "smooth", "picture")
"""Findings about values outside the class table, which reading a mask refuses."""


def label_findings(
    counts: Mapping[float, int],
    *,
    num_classes: int | None = None,
    ignore_class: int | None = IGNORE_CLASS,
    names: Sequence[str] = (),
    subject: str = "The masks",
    plural: bool = True,
    remedies: Remedies = ARRAYS,
    sampled: bool = False,
) -> list[Finding]:
    """Lists what is wrong with the values of masks.

    Args:
        counts: value → number of pixels, from `count_labels`. Values may be floats.
        num_classes: number of classes; labels are 0..num_classes-1. None if the masks decide. One
            class (a single sigmoid channel) has the labels 0 and 1.
        ignore_class: the value of unknown pixels; None if there is none.
        names: class names, for messages.
        subject: subject of the messages, such as "The masks of cells".
        plural: whether the subject is plural; False for a file, such as "masks/a.png".
        remedies: what messages tell the user to write.
        sampled: whether the masks are only a part of the data, such as one batch. A finding that a
            part may show by chance is then no error.

    Returns: the findings; an empty list if all is right.

    Example:
        >>> label_findings({0: 900, 255: 100}, num_classes=2)[0].kind
        '0 and 255'
    """
    counts = {value: number for value, number in counts.items() if number}
    if not counts:
        return []
    labels = CountedLabels(
        counts,
        num_classes=num_classes,
        ignore_class=ignore_class,
        names=tuple(names),
        they_hold=f"{subject} {'hold' if plural else 'holds'}",
        remedies=remedies,
        sampled=sampled,
    )
    wrong = _not_finite(labels) + _fractional(labels) + _negative(labels)
    if wrong:
        return wrong
    return _whole_numbers(labels) or _doubtful(labels)


def _not_finite(labels: CountedLabels) -> list[Finding]:
    values = [value for value in labels.counts if not math.isfinite(value)]
    if not values:
        return []
    word = "NaN" if all(map(math.isnan, values)) else "values that are not finite"
    return [
        Finding(
            "not finite",
            f"{labels.they_hold} {word} in {labels.share(values)} of the pixels, and labels are "
            f"whole numbers. Give these pixels a class{labels.or_unknown()}.",
        )
    ]


def _fractional(labels: CountedLabels) -> list[Finding]:
    values = [value for value in labels.known if value != round(value)]
    if not values:
        return []
    reason = "Labels are whole numbers, one for each class."
    advice = labels.remedies.whole
    scaled = [value * LARGEST_LEVEL for value in labels.known]
    if labels.known[0] >= 0 and labels.known[-1] <= 1:
        if max(abs(value - round(value)) for value in scaled) < 0.02:
            reason += " These are whole numbers that were divided by 255, as images are."
            advice = "Leave masks out of the rescaling."
        else:
            reason += " These look like probabilities, or like masks of 0 and 1 that were "
            reason += "resized smoothly."
    return [
        Finding(
            "fractional",
            f"{labels.they_hold} fractions in {labels.share(values)} of the pixels: "
            f"{listed(values)}. {reason} {advice}",
        )
    ]


def _negative(labels: CountedLabels) -> list[Finding]:
    values = [value for value in labels.known if value < 0]
    if not values:
        return []
    meant = (
        f" If {plain_number(values[0])} means unknown, "
        f"{labels.remedies.ignore.format(value=plain_number(values[0]))}."
        if len(values) == 1
        else ""
    )
    return [
        Finding(
            "negative",
            f"{labels.they_hold} negative values in {labels.share(values)} of the pixels: "
            f"{listed(values)}. Classes are numbered from 0.{meant}",
        )
    ]


def _whole_numbers(labels: CountedLabels) -> list[Finding]:
    if labels.values == [0, LARGEST_LEVEL] and (labels.num_classes or 2) <= LARGEST_LEVEL:
        return _zero_and_255(labels)
    if labels.num_classes is None:
        return _without_table(labels)
    outside = [value for value in labels.known if value >= labels.num_classes]
    return [_outside(labels, outside)] if outside else []


def _zero_and_255(labels: CountedLabels) -> list[Finding]:
    share = labels.share([LARGEST_LEVEL])
    remedy = labels.values_line([0, LARGEST_LEVEL])
    many = (labels.num_classes or 2) > 2
    if labels.ignore_class != LARGEST_LEVEL:
        message = (
            f"{labels.they_hold} only 0 and 255 ({share} of the pixels are 255), and 255 is "
            "no class."
        )
    else:
        message = (
            f"{labels.they_hold} only 0 and 255; 255 means unknown: {share} of the pixels would be "
            "left out, and class 0 would be the only one."
        )
    if many:
        message += (
            f" There are {labels.num_classes} classes, and only the first occurs. If 255 is "
            f"an object, give it the number of its class; if there are two, {remedy}."
        )
    else:
        message += f" If 255 is the object, {remedy}."
    # With many classes a batch may show only background and borders.
    return [Finding("0 and 255", message, error=not (many and labels.sampled))]


def _outside(labels: CountedLabels, outside: list[float]) -> Finding:
    """The most likely reason for values beyond the classes."""
    count = labels.num_classes
    finding = looks_like(labels)
    if finding:
        return finding
    values = short_list(map(plain_number, outside))
    message = (
        f"{labels.they_hold} values outside {labels.remedies.table}: {values}, in "
        f"{labels.share(outside)} of the pixels. There are the {count} classes 0..{count - 1}"
        f"{labels.class_names()}."
    )
    if outside == [count] and 0 not in labels.known:
        return Finding(
            "off by one",
            f"{message} 0 never occurs, so that the classes seem to be numbered from 1. Then "
            f"{labels.values_line(range(1, count + 1))}.",
        )
    if labels.two_values_line():
        return Finding("outside", f"{message} If it is the object, {labels.two_values_line()}.")
    if len(outside) == 1:
        return Finding("outside", f"{message} {_single_value_line(labels, outside[0])}")
    if len(labels.known) == count:
        return Finding(
            "outside",
            f"{message} If these are the numbers of the {count} classes, "
            f"{labels.values_line(labels.known)}.",
        )
    if len(outside) > MANY:
        return Finding(
            "outside",
            f"{message} So many look like instance numbers, colours, or masks that were resized "
            "smoothly or saved as JPEG. Convert or export them again.",
        )
    classes_line = labels.remedies.classes.format(count=int(outside[-1]) + 1)
    return Finding(
        "outside", f"{message} Correct the masks, or {classes_line}{labels.ignored_line(outside)}."
    )


def _single_value_line(labels: CountedLabels, outside: float) -> str:
    """What to write for one value beyond the classes."""
    value, count = plain_number(outside), labels.num_classes
    class_line = (
        labels.remedies.classes.format(count=count + 1)
        if value == count
        else f"give it a number of 0..{count - 1}"
    )
    return (
        f"If {value} means unknown, {labels.remedies.ignore.format(value=value)}; if it is a "
        f"class, {class_line}."
    )


def _without_table(labels: CountedLabels) -> list[Finding]:
    """Reasons against numbering the classes up to the largest value."""
    known = labels.known
    missing = int(known[-1]) + 1 - len(known) if known else 0
    finding = looks_like(labels)
    if finding:
        return [finding]
    if missing > len(known) and labels.two_values_line():
        return [
            Finding(
                "gaps",
                f"{labels.they_hold} only {listed(known)}{labels.besides()} "
                f"({labels.share(known[1:])} of the pixels are {plain_number(known[1])}). Classes "
                f"are numbered from 0 without gaps. If these are two, {labels.two_values_line()}.",
            )
        ]
    if missing > len(known) or (known and known[-1] >= LARGEST_LEVEL):
        message = (
            f"{labels.they_hold} {len(known)} values up to {plain_number(known[-1])}: "
            f"{listed(known)}. Class indices are numbered from 0 without gaps"
        )
        if len(known) > MANY:
            message += (
                "; these look like instance numbers, colours, or masks that were resized "
                "smoothly or saved as JPEG. Convert or export them again."
            )
        else:
            message += f". If each value is a class, {labels.values_line(known)}."
        return [Finding("gaps", message)]
    if missing and len(known) > 1:
        absent = sorted(set(range(int(known[-1]))) - set(known))
        return [
            Finding(
                "gaps",
                f"{labels.they_hold} values up to {plain_number(known[-1])}, and none is "
                f"{listed(absent)}. They are read as {int(known[-1]) + 1} classes. If there "
                f"are only {len(known)}, {labels.values_line(known)}.",
                error=False,
            )
        ]
    return []


def _doubtful(labels: CountedLabels) -> list[Finding]:
    if not labels.known:
        value = plain_number(labels.ignore_class)
        return [
            Finding(
                "all ignored",
                f"{labels.they_hold} only {value}, which means unknown: there is nothing to learn "
                "or to measure. If they show classes, give the pixels the numbers of these.",
            )
        ]
    findings = []
    ignored = labels.counts.get(labels.ignore_class, 0)
    if ignored >= NEAR_ALL * labels.total:
        findings.append(
            Finding(
                "mostly ignored",
                f"{labels.share([labels.ignore_class])} of the pixels are "
                f"{plain_number(labels.ignore_class)}, which means unknown. Little remains to "
                "learn from. Check whether the value means a class.",
                error=False,
            )
        )
    if len(labels.known) == 1:
        number = int(labels.known[0])
        name = f" ({labels.names[number]})" if number < len(labels.names) else ""
        findings.append(
            Finding(
                "one class",
                f"{labels.they_hold} only one class: {number}{name}. A network learns to predict "
                "it everywhere. Check the masks.",
                error=False,
            )
        )
    return findings
