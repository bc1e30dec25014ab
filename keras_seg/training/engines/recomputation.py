"""Less memory per training step: activations are computed again for the gradients, not kept.

Chen, Xu, Zhang, Guestrin: Training Deep Nets with Sublinear Memory Cost, arXiv:1604.06174.

The network is divided into segments. Between the forward and the backward pass only the tensors
between segments stay in memory.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

MOST_SEGMENTS = 96
"""Above this the graph of the step grows, and the memory hardly falls."""


@dataclass(frozen=True)
class Call:
    """One call of a layer or operation in a network.

    Attributes:
        operation: the layer or operation.
        arguments: its symbolic arguments, as Keras keeps them.
        inputs: id of a symbolic argument → number of the tensor.
        outputs: numbers of its results.
        symbols: its symbolic results.
    """

    operation: Any
    arguments: Any
    inputs: dict[int, int]
    outputs: tuple[int, ...]
    symbols: tuple[keras.KerasTensor, ...]

    def run(self, tensors: dict[int, Any], **given: Any) -> None:
        """Adds the results for the values in `tensors`, which are tensors by their number."""
        values = {key: tensors[number] for key, number in self.inputs.items()}
        args, kwargs = self.arguments.fill_in(values)
        results = self.operation(*args, **{**kwargs, **given})
        flat = keras.tree.flatten(results)
        tensors |= dict(zip(self.outputs, flat, strict=True))

    @property
    def in_training(self) -> dict[str, bool]:
        """The argument `training`, if the layer has it."""
        return {"training": True} if getattr(self.operation, "_call_has_training_arg", 0) else {}

    @property
    def variables(self) -> list[keras.Variable]:
        return list(getattr(self.operation, "variables", ()))

    @property
    def is_repeatable(self) -> bool:
        """Whether a second call gives the same result: not for layers with random numbers."""
        return all("float" in str(variable.dtype) for variable in self.variables)


@dataclass(frozen=True)
class Segment:
    """Calls in a row, of which only inputs and outputs are kept.

    Attributes:
        calls: the calls.
        inputs: numbers of the tensors that other calls compute.
        outputs: numbers of the tensors that later calls, or the outputs of the network, need.
    """

    calls: tuple[Call, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def run(self, tensors: dict[int, Any]) -> None:
        """Adds the outputs to `tensors`."""
        if not all(call.is_repeatable for call in self.calls):
            for call in self.calls:
                call.run(tensors, **call.in_training)
            return
        unique = {id(v): v for call in self.calls for v in call.variables}.values()
        trained = [variable for variable in unique if variable.trainable]
        averages = [variable for variable in unique if not variable.trainable]
        states = [tf.convert_to_tensor(variable.value) for variable in averages]

        def computed(*values: Any) -> tuple:
            """Outputs and new averages, without a change of any variable."""
            inside = dict(zip(self.inputs, values, strict=False))
            parameters = values[len(self.inputs) :]
            mapping = [
                *zip(trained, parameters, strict=True),
                *zip(averages, states, strict=True),
            ]
            with keras.StatelessScope(state_mapping=mapping) as scope:
                for call in self.calls:
                    call.run(inside, **call.in_training)
                changed = [scope.get_current_value(average) for average in averages]
            return (*(inside[n] for n in self.outputs), *map(tf.stop_gradient, changed))

        values = [tensors[number] for number in self.inputs]
        parameters = [tf.convert_to_tensor(variable.value) for variable in trained]
        results = keras.remat(computed)(*values, *parameters)
        tensors |= dict(zip(self.outputs, results, strict=False))
        for average, value in zip(averages, results[len(self.outputs) :], strict=True):
            average.assign(value)


class Recomputing:
    """Mix-in of a functional model that computes a training step by segments."""

    segments: tuple[Segment, ...]
    results: Any
    """Numbers of the outputs, in the structure of the outputs."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """The outputs for images; in training, activations are not kept."""
        image = keras.tree.flatten(inputs)[0]
        if not training or isinstance(image, keras.KerasTensor):
            inherited = super().call  # pyrefly: ignore[missing-attribute]
            return inherited(inputs, training=training, mask=mask)
        tensors = {0: image}
        for segment in self.segments:
            segment.run(tensors)
        return keras.tree.map_structure(lambda number: tensors[number], self.results)


def recomputing(model: keras.Model, crop: tuple[int, int]) -> keras.Model:
    """The same model with less memory in training. Layers are shared.

    Args:
        model: a functional model of one image.
        crop: (height, width) of the training images in pixels, by which the segments are chosen.
    """
    numbers = {id(model.inputs[0]): 0}
    calls = list(calls_of(model, numbers))
    results = keras.tree.map_structure(lambda symbol: numbers[id(symbol)], model.output)
    outputs = keras.tree.flatten(results)
    segments = chosen_segments(calls, outputs, sizes_of(calls, model, crop))
    kind = type(
        f"Recomputing{type(model).__name__}",
        (Recomputing, type(model)),
        {"segments": tuple(segments), "results": results},
    )
    return kind(model.inputs[0], model.output, name=model.name)


def calls_of(model: keras.Model, numbers: dict[int, int]) -> Iterator[Call]:
    """Calls in the order of computation, also those of models inside the model.

    Args:
        numbers: id of a symbolic tensor → number. The results of the calls are added.
    """
    yield from _calls(model, numbers, [len(numbers)])


def _calls(model: keras.Model, numbers: dict[int, int], free: list[int]) -> Iterator[Call]:
    nodes = model._nodes_by_depth
    for node in (node for depth in sorted(nodes, reverse=True) for node in nodes[depth]):
        if node.is_input:
            continue
        inner = getattr(node.operation, "_functional", None) or node.operation  # of a Sequential
        if isinstance(inner, keras.Model) and hasattr(inner, "_nodes_by_depth"):
            pairs = zip(inner.inputs, node.input_tensors, strict=True)
            inside = {id(x): numbers[id(y)] for x, y in pairs}
            yield from _calls(inner, inside, free)
            outputs = tuple(inside[id(x)] for x in keras.tree.flatten(inner.output))
        else:
            outputs = tuple(range(free[0], free[0] + len(node.outputs)))
            free[0] += len(outputs)
            inputs = {id(x): numbers[id(x)] for x in node.input_tensors}
            yield Call(node.operation, node.arguments, inputs, outputs, tuple(node.outputs))
        numbers |= {id(x): n for x, n in zip(node.outputs, outputs, strict=True)}


def sizes_of(calls: Sequence[Call], model: keras.Model, crop: tuple[int, int]) -> dict[int, int]:
    """Number of a tensor → its number of values for one image of the crop."""
    image = keras.KerasTensor((1, *crop, model.inputs[0].shape[-1]), dtype=model.inputs[0].dtype)
    symbols: dict[int, Any] = {0: image}
    for call in calls:
        values = {key: symbols[number] for key, number in call.inputs.items()}
        args, kwargs = call.arguments.fill_in(values)
        results = keras.tree.flatten(call.operation.compute_output_spec(*args, **kwargs))
        symbols |= dict(zip(call.outputs, results, strict=True))
    return {number: math.prod(symbol.shape) for number, symbol in symbols.items()}


def chosen_segments(
    calls: Sequence[Call], outputs: Sequence[int], sizes: dict[int, int]
) -> list[Segment]:
    """The division with the smallest estimate of the memory.

    The estimate is the size of all tensors that are kept between segments, and twice the size of
    the largest segment, whose activations and their gradients are in memory together. For each
    bound on the size of a segment, calls are collected up to the bound, and cut where the fewest
    values pass in its second half. Layers with random numbers are segments by themselves.
    """
    last = _last_uses(calls, outputs)
    passing = _passing(calls, last, sizes)
    inside = [sum(sizes[n] for n in call.outputs) for call in calls]
    bounds = sorted({sum(inside) // parts for parts in range(2, MOST_SEGMENTS)})
    alone = [place for place, call in enumerate(calls) if not call.is_repeatable]
    forced = {*alone, *(place + 1 for place in alone)}
    divisions = []
    for bound in bounds:
        cuts = sorted({*_cuts(inside, passing, bound), *forced} - {0, len(calls)})
        divisions.append([_segment(calls[a:b], b, last) for a, b in _pairs(cuts, len(calls))])
    return min(divisions, key=lambda segments: _estimate(segments, sizes))


def _estimate(segments: Sequence[Segment], sizes: dict[int, int]) -> int:
    kept = sum(sizes[n] for segment in segments for n in segment.outputs)
    return kept + 2 * max(
        sum(sizes[n] for call in segment.calls for n in call.outputs) for segment in segments
    )


def _last_uses(calls: Sequence[Call], outputs: Sequence[int]) -> dict[int, int]:
    """Number of a tensor → place of the last call that takes it; the end for outputs."""
    last = {n: place for place, call in enumerate(calls) for n in call.inputs.values()}
    return last | dict.fromkeys(outputs, len(calls))


def _passing(calls: Sequence[Call], last: dict[int, int], sizes: dict[int, int]) -> list[int]:
    """For each call, the values that calls after it take from it or from earlier ones."""
    changes = [0] * (len(calls) + 1)
    for place, call in enumerate(calls):
        for number in call.outputs:
            changes[place] += sizes[number]
            changes[last.get(number, place)] -= sizes[number]
    return list(itertools.accumulate(changes))[:-1]


def _cuts(inside: Sequence[int], passing: Sequence[int], bound: int) -> list[int]:
    """Places before which a segment begins."""
    cuts, start, size = [], 0, 0
    for place, values in enumerate(inside):
        size += values
        if size > bound and place > start:
            choices = range(start + (place - start) // 2, place)
            cut = min(choices, key=lambda p: (passing[p], -p)) + 1
            cuts.append(cut)
            start, size = cut, sum(inside[cut : place + 1])
    return cuts


def _pairs(cuts: Sequence[int], end: int) -> list[tuple[int, int]]:
    return list(zip([0, *cuts], [*cuts, end], strict=True))


def _segment(part: Sequence[Call], end: int, last: dict[int, int]) -> Segment:
    """The calls before place `end` as a segment."""
    own = {n for call in part for n in call.outputs}
    taken = dict.fromkeys(n for call in part for n in call.inputs.values() if n not in own)
    kept = tuple(n for n in sorted(own) if last.get(n, -1) >= end)
    return Segment(tuple(part), tuple(taken), kept)
