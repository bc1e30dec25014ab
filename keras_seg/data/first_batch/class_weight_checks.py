"""Whether class weights fit the classes, and the masks of the first batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from keras_seg.data.mask_values.finding import Finding


def class_weight_findings(
    class_weights: Sequence[float] | Mapping[int, float],
    counts: Mapping[float, int],
    *,
    num_classes: int | None,
    ignore_class: int | None,
    whole: bool,
) -> list[Finding]:
    """Lists what is wrong with class weights.

    Args:
        class_weights: one weight per class, or class index → weight.
        counts: label → number of pixels.
        num_classes: number of classes; None if unknown.
        ignore_class: the mask value of unknown pixels.
        whole: whether `counts` cover all masks.
    """
    classes = None if num_classes is None else max(2, num_classes)
    is_mapping = isinstance(class_weights, Mapping)
    weights = (
        {int(number): float(weight) for number, weight in class_weights.items()}
        if is_mapping
        else dict(enumerate(map(float, class_weights)))
    )
    if classes is not None and (message := _other_classes(weights, classes, is_mapping)):
        return [Finding("class weights", message)]
    if is_mapping and classes is not None:
        weights = dict.fromkeys(range(classes), 1.0) | weights
    if len(weights) > 1 and sum(weight > 0 for weight in weights.values()) == 1:
        return [Finding("class weights", _only_one(weights))]
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
    message = _absent_classes(weights, present, is_mapping, whole)
    return [Finding("class weights", message, error=False)] if message else []


def _other_classes(weights: Mapping[int, float], classes: int, is_mapping: bool) -> str:
    """The message for weights of other classes than the network has; empty if there are none."""
    beyond = [n for n, weight in weights.items() if not 0 <= n < classes and weight != 1]
    if is_mapping and beyond:
        return (
            f"class_weights names class {_listed(beyond)}, and the classes are 0 to "
            f"{classes - 1}. Correct the number, or build the network with more classes."
        )
    if not is_mapping and len(weights) != classes:
        return (
            f"class_weights has {len(weights)} numbers, and there are {classes} classes. Give "
            "one number for each class."
        )
    return ""


def _only_one(weights: Mapping[int, float]) -> str:
    (only,) = (number for number, weight in weights.items() if weight > 0)
    return (
        f"class_weights leaves only class {only} with a weight above 0: all other pixels do not "
        "count, and the network learns to predict it everywhere. Give the other classes a weight, "
        "too."
    )


def _absent_classes(
    weights: Mapping[int, float], present: Mapping[int, int], is_mapping: bool, whole: bool
) -> str:
    """The message for weights of classes without pixels; empty if there are none."""
    absent = {n: weight for n, weight in weights.items() if n not in present and weight > 0}
    # a mapping gives weight 1 to the other classes; equal weights single out no class
    if is_mapping:
        absent = {number: weight for number, weight in absent.items() if weight != 1}
    elif len(set(weights.values())) == 1:
        absent = {}
    if not absent:
        return ""
    listed = ", ".join(f"{number} ({weight:.6g})" for number, weight in [*absent.items()][:8])
    pixels = sum(present.values())
    where = "of the masks" if whole else "looked at"
    message = (
        f"class_weights gives a weight to {'classes' if len(absent) > 1 else 'class'} {listed}, "
        f"which {'have' if len(absent) > 1 else 'has'} none of the {pixels:,} pixels {where}. "
        "Check that weights and masks number the classes alike."
    )
    return message if whole else f"{message} Rare classes show with a larger number_of_batches."


def _listed(numbers: Iterable[int]) -> str:
    numbers = sorted(numbers)
    shown = ", ".join(map(str, numbers[:8]))
    return f"{shown}, ..., {numbers[-1]}" if len(numbers) > 8 else shown
