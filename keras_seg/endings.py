"""What a network ends in, scores or probabilities, as its graph tells.

A foreign model may end in a sigmoid or softmax. Its scores are then probabilities already, and to
squash them again, or to cut them at 0, gives wrong numbers without any error.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

SCORES = ("logits", "probabilities")
"""What the channels of a network's output can be."""
PROBABILITIES = ("sigmoid", "softmax", "hard_sigmoid", "sparsemax")
"""Functions whose values lie in 0..1."""
EXCLUSIVE = ("softmax", "sparsemax", "log_softmax")
"""Functions that make the classes of a pixel exclude each other."""
KNOWN = (*PROBABILITIES, "log_softmax", "log_sigmoid", "tanh")
"""Functions that an ending can be, besides "linear"."""
HANDS_ON, SLICES, MOVES, JOINS = "hands on", "slices", "moves", "joins"
"""Kinds of operators that leave values in 0..1 there: copies and means of them, a part of the
channels, the same with axes exchanged, several maps together."""
AVERAGES, BOUNDS, ADDS, EXPONENT = "averages", "bounds", "adds", "exponent"
"""Kinds that do so under conditions: the mean of several maps or the maps side by side, a lower or
upper limit, sums, and the exponential function."""
LINEAR, UNKNOWN = "linear", "unknown"
"""Convolutions and the like, whose values have no bounds, and everything else."""
TOLERANCE = 0.01
"""How far beyond 0..1 probabilities may lie in a probe: half precision and cubic resizing do."""

SLACK = 0.5
"""The same for what the caller calls probabilities: networks may be trained to 0 and 1 directly."""


class Made(NamedTuple):
    """How a tensor is made: kind of the operator, the tensors that it computes with, its name.

    axis: of a softmax, where it is known not to be the channels.
    """

    kind: str
    sources: Sequence[Hashable] = ()
    place: str = ""
    axis: int | None = None


@dataclass(frozen=True)
class Ending:
    """How a network's output is made.

    Attributes:
        function: one of `KNOWN`, "linear" for scores without bounds, None where the graph does not
            tell.
        place: name of the layer or operator.
        sliced: only some of the channels are put out.
        axis: of a softmax that is not over the channels.
        moved: axes are exchanged behind the function.
    """

    function: str | None = None
    place: str = ""
    sliced: bool = False
    axis: int | None = None
    moved: bool = False

    @property
    def are_probabilities(self) -> bool:
        return self.function in PROBABILITIES

    def __str__(self) -> str:
        return f"{self.function} ({self.place})" if self.place else str(self.function)


def ending_of(output: Hashable, maker: Callable[[Hashable], Made]) -> Ending:
    """Walks back from an output to the function that its values come from.

    Args:
        maker: tells how a tensor is made.
    """
    return _ending(output, maker, deep=True)


def _ending(tensor: Hashable, maker: Callable[[Hashable], Made], deep: bool) -> Ending:
    sliced = moved = False
    made = maker(tensor)
    while made.kind in (HANDS_ON, SLICES, MOVES):
        sliced, moved = sliced or made.kind == SLICES, moved or made.kind == MOVES
        made = maker(made.sources[0])
    found = Ending(made.kind if made.kind in KNOWN else None, made.place, sliced, moved=moved)
    if made.kind in KNOWN:
        return replace(found, axis=None if moved else made.axis)
    if made.kind == LINEAR:
        # one over probabilities may smooth or resize them with fixed weights
        squashed = deep and any(
            _ending(source, maker, False).are_probabilities for source in made.sources
        )
        return found if squashed else replace(found, function="linear")
    if made.kind == UNKNOWN:
        return found
    inner = [_ending(source, maker, deep) for source in made.sources]
    return replace(_joined(made.kind, inner), sliced=sliced or any(e.sliced for e in inner))


def _joined(kind: str, inner: list[Ending]) -> Ending:
    """The ending of a map that is made of maps with these endings."""
    first, functions = inner[0], {ending.function for ending in inner}
    if kind == EXPONENT:
        function = {"log_softmax": "softmax", "log_sigmoid": "sigmoid"}.get(first.function)
    elif kind == BOUNDS:
        function = first.function if first.are_probabilities else None
    elif "linear" in functions and None not in functions:
        function = "linear"
    elif kind == ADDS or not all(ending.are_probabilities for ending in inner):
        function = "linear" if kind == ADDS and "linear" in functions else None
    elif len(inner) == 1 or (kind == AVERAGES and len(functions) == 1):
        function = first.function
    else:
        function = "sigmoid"  # in 0..1, but not with a sum of 1
    return replace(first, function=function)


def head_of(
    ending: Ending,
    channels: int,
    what: object,
    *,
    said: str | None,
    card_head: str | None,
    probe: Callable[[], np.ndarray],
) -> str:
    """What the channels of a network are: "logits" or "probabilities".

    The graph counts most, then the card, then what is said, then the values on a test image.

    Args:
        channels: number of them.
        what: the file or "The model", for messages.
        said: `scores` of the caller, None if nothing was said.
        card_head: `head` of a card that can be relied on, None for a foreign model.
        probe: runs the network; called only if nothing else tells.

    Raises: ValueError for contradictions, for endings that make no scores of classes, and where
        the caller must say what they are.
    """
    check_scores(said)
    _check_classes(ending, channels, what)
    if ending.are_probabilities:
        if said == "logits":
            raise ValueError(
                f"{what} ends in {ending}, so that its values are probabilities. Received: scores="
                "'logits'. Leave scores out."
            )
        return "probabilities"
    if card_head is not None:
        if said not in (None, card_head):
            raise ValueError(
                f"{what} puts out {card_head}, as its card says. Received: scores={said!r}. "
                "Leave scores out."
            )
        return card_head
    if said is not None:
        if said == "probabilities":
            _check_range(probe(), what)
        return said
    if ending.function == "tanh":
        raise _ask(what, f"ends in {ending}, whose values lie in -1..1, which are no probabilities")
    if ending.function is not None:
        return "logits"
    return _head_by_values(probe(), what)


def check_scores(said: str | None) -> None:
    """Raises ValueError for a word that `scores` does not know."""
    if said not in (None, *SCORES):
        raise ValueError(f"scores must be one of {SCORES}, or None. Received: {said!r}")


def check_multi_label(ending: Ending, what: object) -> None:
    """Raises ValueError for a multi-label model whose labels exclude each other."""
    if ending.function in EXCLUSIVE:
        raise ValueError(
            f"{what} ends in {ending}, which makes its classes exclude each other. Received: "
            "multi_label=True. Leave multi_label out, or give a model that ends in sigmoid."
        )


def check_sums(
    ending: Ending, channels: int, what: object, probe: Callable[[], np.ndarray]
) -> None:
    """Raises ValueError if the classes of most pixels have no sum of 1 behind a softmax.

    Args:
        probe: runs the network; called only for a softmax whose channels are all put out.
    """
    if channels == 1 or ending.sliced or ending.function not in ("softmax", "sparsemax"):
        return
    total = float(np.median(probe().sum(-1)))
    if total < 0.5:  # pooling makes it larger, and steps of 1/256 for many classes a little smaller
        raise ValueError(
            f"{what} ends in {ending} over an axis that is not the channels: the classes of a "
            f"pixel sum to {total:.2g} and not to 1 on a test image. Take the axis of the classes."
        )


def independent(ending: Ending) -> bool:
    """Whether each channel is a sigmoid of its own."""
    return ending.function in ("sigmoid", "hard_sigmoid")


def several_sigmoids(what: object) -> str:
    """What to tell of a foreign model whose channels are independent of each other."""
    return (
        f"{what} ends in a sigmoid of several channels: taken for classes that exclude each other, "
        "the largest deciding. If a pixel may have several labels, pass multi_label=True "
        "(--multi_label true)."
    )


def _check_classes(ending: Ending, channels: int, what: object) -> None:
    if ending.axis is not None:
        raise ValueError(
            f"{what} ends in {ending} over axis {ending.axis}, which is not the channels, so that "
            "its values are no probabilities of classes. Take axis -1."
        )
    if channels == 1 and not ending.sliced and ending.function in EXCLUSIVE:
        constant = 0 if ending.function == "log_softmax" else 1
        raise ValueError(
            f"{what} ends in {ending} of one channel, which is always {constant}, whatever the "
            "image shows. Put a sigmoid in its place, or give the model two channels."
        )
    if ending.function == "log_sigmoid":
        raise ValueError(
            f"{what} ends in {ending}, whose values are logarithms of probabilities. Leave that "
            "function out, or put a sigmoid in its place."
        )


def _head_by_values(values: np.ndarray, what: object) -> str:
    low, high = float(values.min()), float(values.max())
    channels = values.shape[-1]
    if low >= -TOLERANCE and high <= 1 + TOLERANCE:
        if channels > 1 and np.abs(values.sum(-1) - 1).max() < TOLERANCE:
            return "probabilities"
        raise _ask(
            what,
            f"puts out values of {low:.3g} to {high:.3g} on a test image, as probabilities are, "
            "and its graph does not show whether they are",
        )
    if channels == 1 and (low >= 0 or high <= 0):
        side = "below" if low >= 0 else "above"
        raise _ask(
            what,
            f"puts out values of {low:.3g} to {high:.3g} on a test image, never {side} the 0 at "
            "which a logit separates two classes",
        )
    return "logits"


def _check_range(values: np.ndarray, what: object) -> None:
    low, high = float(values.min()), float(values.max())
    if low < -SLACK or high > 1 + SLACK:
        raise ValueError(
            f"{what} puts out values of {low:.3g} to {high:.3g} on a test image, which are no "
            "probabilities. Received: scores='probabilities'. Take scores='logits', or let the "
            "model end in values of 0 to 1."
        )


def _ask(what: object, found: str) -> ValueError:
    return ValueError(
        f"{what} {found}. Say what they are: scores='probabilities' or scores='logits' (--scores "
        "probabilities or logits)."
    )
