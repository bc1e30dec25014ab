"""Whether a network outputs logits or probabilities, read from the end of its graph.

A foreign model may end in a sigmoid or softmax. Its scores are then probabilities. A second sigmoid
over them, or a threshold at 0, would give wrong masks without an error.

The search works on any graph. Keras models, .tflite files and .onnx files each translate their
operators into the kinds below.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

SCORES = ("logits", "probabilities")
"""What the channels of a network's output can be."""
PROBABILITIES = ("sigmoid", "softmax", "hard_sigmoid", "sparsemax")
"""Functions whose values are in 0..1."""
EXCLUSIVE = ("softmax", "sparsemax", "log_softmax")
"""Functions that make the classes of a pixel mutually exclusive."""
KNOWN = (*PROBABILITIES, "log_softmax", "log_sigmoid", "tanh")
"""Functions that a network can end in, besides "linear"."""

PASSES, SLICES, TRANSPOSES, JOINS = "passes", "slices", "transposes", "joins"
"""Operators that keep values in 0..1: copy, pool or resize them; select channels; permute axes;
merge several maps."""
AVERAGES, BOUNDS, ADDS, EXPONENT = "averages", "bounds", "adds", "exponent"
"""Operators that keep values in 0..1 under conditions: stack or average several maps; clip; add;
apply the exponential function."""
LINEAR, UNKNOWN = "linear", "unknown"
"""Convolutions and similar operators, whose values are unbounded; and all others."""

TOLERANCE = 0.01
"""How far probabilities of a test image may leave 0..1: half precision and cubic resizing do."""
SLACK = 0.5
"""The same where the caller says "probabilities": a network may be trained to 0 and 1 directly."""


class TensorSource(NamedTuple):
    """The operator that computes a tensor.

    Attributes:
        kind: one of the kinds above, or a function of `KNOWN`.
        inputs: the tensors that it computes with.
        place: name of the layer or operator.
        axis: axis of a softmax, if it is known not to be the channels.
    """

    kind: str
    inputs: Sequence[Hashable] = ()
    place: str = ""
    axis: int | None = None


@dataclass(frozen=True)
class OutputActivation:
    """The function at a network's output.

    Attributes:
        function: one of `KNOWN`, "linear" for unbounded scores, None if the graph does not show it.
        place: name of the layer or operator.
        sliced: the network outputs only some of the channels.
        axis: axis of a softmax that is not over the channels.
        transposed: axes are permuted after the function.
    """

    function: str | None = None
    place: str = ""
    sliced: bool = False
    axis: int | None = None
    transposed: bool = False

    @property
    def are_probabilities(self) -> bool:
        """Whether the values are in 0..1."""
        return self.function in PROBABILITIES

    def __str__(self) -> str:
        return f"{self.function} ({self.place})" if self.place else str(self.function)


def find_output_activation(
    output: Hashable, source_of: Callable[[Hashable], TensorSource]
) -> OutputActivation:
    """Walks back from an output to the function that computes its values.

    Args:
        output: the output tensor, in any form that `source_of` understands.
        source_of: tensor → the operator that computes it.
    """
    return _walk_back(output, source_of, deep=True)


def _walk_back(
    tensor: Hashable, source_of: Callable[[Hashable], TensorSource], deep: bool
) -> OutputActivation:
    sliced = transposed = False
    source = source_of(tensor)
    while source.kind in (PASSES, SLICES, TRANSPOSES):
        sliced = sliced or source.kind == SLICES
        transposed = transposed or source.kind == TRANSPOSES
        source = source_of(source.inputs[0])
    function = source.kind if source.kind in KNOWN else None
    activation = OutputActivation(function, source.place, sliced, transposed=transposed)
    if function is not None:
        return replace(activation, axis=None if transposed else source.axis)
    if source.kind == LINEAR:
        # a convolution with fixed weights may smooth or resize probabilities
        after_probabilities = deep and any(
            _walk_back(each, source_of, False).are_probabilities for each in source.inputs
        )
        return activation if after_probabilities else replace(activation, function="linear")
    if source.kind == UNKNOWN:
        return activation
    inputs = [_walk_back(each, source_of, deep) for each in source.inputs]
    merged = _merged(source.kind, inputs)
    return replace(merged, sliced=sliced or any(each.sliced for each in inputs))


def _merged(kind: str, inputs: list[OutputActivation]) -> OutputActivation:
    """The activation of a map that is computed from maps with these activations."""
    first, functions = inputs[0], {each.function for each in inputs}
    if kind == EXPONENT:
        function = {"log_softmax": "softmax", "log_sigmoid": "sigmoid"}.get(first.function)
    elif kind == BOUNDS:
        function = first.function if first.are_probabilities else None
    elif "linear" in functions and None not in functions:
        function = "linear"
    elif kind == ADDS or not all(each.are_probabilities for each in inputs):
        function = "linear" if kind == ADDS and "linear" in functions else None
    elif len(inputs) == 1 or (kind == AVERAGES and len(functions) == 1):
        function = first.function
    else:
        function = "sigmoid"  # in 0..1, but the channels do not sum to 1
    return replace(first, function=function)


def decide_head(
    activation: OutputActivation,
    channels: int,
    what: object,
    *,
    scores: str | None,
    card_head: str | None,
    probe: Callable[[], np.ndarray],
) -> str:
    """Whether a network outputs "logits" or "probabilities".

    The graph decides first, then the card, then the caller, then the values on a test image.

    Args:
        activation: the function at the network's output.
        channels: number of output channels.
        what: the file or "The model", for messages.
        scores: what the caller says, None if nothing.
        card_head: `head` of a card that can be trusted, None for a foreign model.
        probe: runs the network; called only if nothing else decides.

    Raises: ValueError for contradictions, for activations whose values are not class scores, and
        if the caller must say what the scores are.
    """
    check_scores(scores)
    _check_activation(activation, channels, what)
    if activation.are_probabilities:
        if scores == "logits":
            raise ValueError(
                f"{what} ends in {activation}, so that its values are probabilities. Received: "
                "scores='logits'. Leave scores out."
            )
        return "probabilities"
    if card_head is not None:
        if scores not in (None, card_head):
            raise ValueError(
                f"{what} outputs {card_head}, as its card says. Received: scores={scores!r}. "
                "Leave scores out."
            )
        return card_head
    if scores is not None:
        if scores == "probabilities":
            _check_range(probe(), what)
        return scores
    if activation.function == "tanh":
        raise _must_be_said(
            what, f"ends in {activation}, whose values are in -1..1, which are no probabilities"
        )
    if activation.function is not None:
        return "logits"
    return _head_of_values(probe(), what)


def check_scores(scores: str | None) -> None:
    """Raises ValueError for a value that `scores` cannot have."""
    if scores not in (None, *SCORES):
        raise ValueError(f"scores must be one of {SCORES}, or None. Received: {scores!r}")


def check_multi_label(activation: OutputActivation, what: object) -> None:
    """Raises ValueError for a multi-label model whose labels are mutually exclusive."""
    if activation.function in EXCLUSIVE:
        raise ValueError(
            f"{what} ends in {activation}, which makes its classes exclude each other. Received: "
            "multi_label=True. Leave multi_label out, or give a model that ends in sigmoid."
        )


def check_sums(
    activation: OutputActivation, channels: int, what: object, probe: Callable[[], np.ndarray]
) -> None:
    """Raises ValueError if a softmax runs along an axis that is not the channels.

    Args:
        probe: runs the network; called only for a softmax whose channels are all output.
    """
    if channels == 1 or activation.sliced or activation.function not in ("softmax", "sparsemax"):
        return
    total = float(np.median(probe().sum(-1)))
    if total < 0.5:  # pooling raises the sum; steps of 1/256 lower it a little for many classes
        raise ValueError(
            f"{what} ends in {activation} over an axis that is not the channels: the classes of a "
            f"pixel sum to {total:.2g} and not to 1 on a test image. Take the axis of the classes."
        )


def is_sigmoid_per_channel(activation: OutputActivation) -> bool:
    """Whether each channel has its own sigmoid."""
    return activation.function in ("sigmoid", "hard_sigmoid")


def several_sigmoids(what: object) -> str:
    """The warning for a foreign model with a sigmoid per channel and no `multi_label`."""
    return (
        f"{what} ends in a sigmoid of several channels. They are read as mutually exclusive "
        "classes, and the largest value decides. If a pixel may have several labels, pass "
        "multi_label=True (--multi_label true)."
    )


def _check_activation(activation: OutputActivation, channels: int, what: object) -> None:
    if activation.axis is not None:
        raise ValueError(
            f"{what} ends in {activation} over axis {activation.axis}, which is not the channels, "
            "so that its values are no probabilities of classes. Take axis -1."
        )
    if channels == 1 and not activation.sliced and activation.function in EXCLUSIVE:
        constant = 0 if activation.function == "log_softmax" else 1
        raise ValueError(
            f"{what} ends in {activation} of one channel, which is always {constant}, whatever the "
            "image shows. Put a sigmoid in its place, or give the model two channels."
        )
    if activation.function == "log_sigmoid":
        raise ValueError(
            f"{what} ends in {activation}, whose values are logarithms of probabilities. Leave "
            "that function out, or put a sigmoid in its place."
        )


def _head_of_values(values: np.ndarray, what: object) -> str:
    low, high = float(values.min()), float(values.max())
    channels = values.shape[-1]
    if low >= -TOLERANCE and high <= 1 + TOLERANCE:
        if channels > 1 and np.abs(values.sum(-1) - 1).max() < TOLERANCE:
            return "probabilities"
        raise _must_be_said(
            what,
            f"outputs values of {low:.3g} to {high:.3g} on a test image, as probabilities are, "
            "and its graph does not show whether they are",
        )
    if channels == 1 and (low >= 0 or high <= 0):
        side = "below" if low >= 0 else "above"
        raise _must_be_said(
            what,
            f"outputs values of {low:.3g} to {high:.3g} on a test image, never {side} the 0 at "
            "which a logit separates two classes",
        )
    return "logits"


def _check_range(values: np.ndarray, what: object) -> None:
    low, high = float(values.min()), float(values.max())
    if low < -SLACK or high > 1 + SLACK:
        raise ValueError(
            f"{what} outputs values of {low:.3g} to {high:.3g} on a test image, which are no "
            "probabilities. Received: scores='probabilities'. Take scores='logits', or let the "
            "model end in values of 0 to 1."
        )


def _must_be_said(what: object, reason: str) -> ValueError:
    return ValueError(
        f"{what} {reason}. Say what they are: scores='probabilities' or scores='logits' (--scores "
        "probabilities or logits)."
    )
