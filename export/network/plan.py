"""Which tensors of a network are rounded, which share a range, and what folds into what.

By the rules of TFLite's integer kernels: batch norm and ReLU are part of the operator before them;
pooling, resizing, padding and concatenation leave the integers as they are, so that all their
tensors have one range; a sigmoid's range is given; everything else has a range of its own.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
from keras import layers

from keras_seg.export.network.layer_rules import (
    ARITHMETIC,
    CONVOLUTIONS,
    FIXED,
    IMAGE,
    MEANS,
    PER_CHANNEL,
    by_channel,
    function_of,
    hands_on,
    last_function_of,
)


@dataclass(frozen=True)
class Step:
    """One call of a layer, with numbers for tensors.

    inputs: id of a symbolic tensor → its number. values: inputs that are computed with, without
    those that only lend their size. outputs: numbers; floats: those of them that are rounded.
    """

    operation: keras.Operation
    arguments: object
    inputs: dict[int, int]
    values: tuple[int, ...]
    outputs: tuple[int, ...]
    floats: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What happens to each tensor, by its number, in the graph of a network.

    Attributes:
        steps: in the order of computation.
        image: number of the input.
        outputs: numbers of the outputs, in the order of `keras.tree.flatten`.
        folds: a convolution's output → the batch norm that folds into the convolution.
        group: tensor that is rounded → number of its group, all of whose tensors have one range.
        members: group with a measured range → the tensors that it is measured on.
        given: group with a prescribed range → that range.
    """

    steps: list[Step]
    image: int
    outputs: list[int]
    folds: dict[int, layers.BatchNormalization]
    group: dict[int, int]
    members: dict[int, list[int]]
    given: dict[int, tuple[float, float]]


def make_plan(model: keras.Model) -> Plan:
    """Reads the graph of a functional model; nested functional models are taken apart."""
    count = itertools.count()
    numbers = {id(x): next(count) for x in model.inputs}
    steps = list(_steps(model, numbers, count))
    outputs = [numbers[id(x)] for x in keras.tree.flatten(model.output)]
    takers = sole_takers(steps, outputs)
    folds = _folds(steps, takers)
    image = numbers[id(model.inputs[0])]
    means = {n for step in steps if isinstance(step.operation, MEANS) for n in step.floats}
    fixed = {image: IMAGE} | {
        step.outputs[0]: FIXED[function]
        for step in steps
        if (function := last_function_of(step.operation)) in FIXED
    }
    root, joints = _joined(steps, outputs, fixed)
    bare = set(folds) | _before_relu(steps, takers, folds)
    sources = [image, *_sources(steps, bare, joints)]
    # a measured tensor never shares the group of a fixed one: only joints have several sources
    given = {root(number): bounds for number, bounds in fixed.items()}
    members = defaultdict(list)
    for number in sources:
        if root(number) not in given:
            members[root(number)].append(number)
    return Plan(
        steps=steps,
        image=image,
        outputs=outputs,
        folds=folds,
        group={number: root(number) for number in (*sources, *means)},
        members=dict(members),
        given=given,
    )


def _steps(model: keras.Model, numbers: dict[int, int], count: Iterator[int]) -> Iterator[Step]:
    """Calls in the order of computation; numbers (id of a symbolic tensor → number) fills up."""
    nodes = model._nodes_by_depth
    for node in (node for depth in sorted(nodes, reverse=True) for node in nodes[depth]):
        if node.is_input:
            continue
        inner = getattr(node.operation, "_functional", None) or node.operation  # of a Sequential
        if isinstance(inner, keras.Model) and hasattr(inner, "_nodes_by_depth"):
            # a model may be called twice: each time with numbers of its own for its inside
            pairs = zip(inner.inputs, node.input_tensors, strict=True)
            inside = {id(x): numbers[id(y)] for x, y in pairs}
            yield from _steps(inner, inside, count)
            found = [inside[id(x)] for x in keras.tree.flatten(inner.output)]
        else:
            found = [next(count) for _ in node.outputs]
            inputs = {id(x): numbers[id(x)] for x in node.input_tensors}
            values = tuple(inputs[id(x)] for x in _floats(_first_argument(node)))
            floats = _floats(node.outputs)
            rounded = tuple(
                n for n, x in zip(found, node.outputs, strict=True) if any(x is y for y in floats)
            )
            yield Step(node.operation, node.arguments, inputs, values, tuple(found), rounded)
        numbers |= {id(x): number for x, number in zip(node.outputs, found, strict=True)}


def _first_argument(node) -> list:
    arguments = node.arguments
    return keras.tree.flatten((*arguments.args, *arguments.kwargs.values())[0])


def _floats(values: list) -> list[keras.KerasTensor]:
    return [x for x in values if isinstance(x, keras.KerasTensor) and "float" in str(x.dtype)]


def sole_takers(steps: list[Step], outputs: list[int]) -> dict[int, Step]:
    """Tensor → the only step that takes it, if there is one and the tensor is no output."""
    takers = defaultdict(list)
    for step in steps:
        for number in set(step.inputs.values()):
            takers[number].append(step)
    return {n: few[0] for n, few in takers.items() if len(few) == 1 and n not in outputs}


def _folds(steps: list[Step], takers: dict[int, Step]) -> dict[int, layers.BatchNormalization]:
    """A convolution's output → the batch norm that is the only one to take it."""
    calls = Counter(id(step.operation) for step in steps)
    return {
        step.outputs[0]: norm
        for step in steps
        if isinstance(step.operation, CONVOLUTIONS)
        and step.operation.activation is keras.activations.linear
        and step.outputs[0] in takers
        and isinstance(norm := takers[step.outputs[0]].operation, layers.BatchNormalization)
        and by_channel(norm)
        and calls[id(step.operation)] == calls[id(norm)] == 1
    }


def _before_relu(steps: list[Step], takers: dict[int, Step], folds: dict) -> set[int]:
    """Outputs of operators that a ReLU becomes part of."""
    # transposed convolutions have no ReLU in them, with a batch norm or without
    ends = {}
    for step in steps:
        if isinstance(step.operation, layers.Conv2DTranspose):
            number = step.outputs[0]
            ends[takers[number].outputs[0] if number in folds else number] = step
    return {
        step.outputs[0]
        for step in steps
        if isinstance(step.operation, (*CONVOLUTIONS, *PER_CHANNEL, *ARITHMETIC))
        and step.outputs[0] not in ends
        and step.outputs[0] in takers
        and function_of(takers[step.outputs[0]].operation) in ("relu", "relu6")
    }


def _sources(steps: list[Step], bare: set[int], joints: set[int]) -> list[int]:
    """Tensors that are computed anew, not handed on, nor swallowed by the next operator."""
    return [
        number
        for step in steps
        for number in step.floats
        if number in joints or not (hands_on(step.operation) or number in bare)
    ]


def _joined(
    steps: list[Step], outputs: list[int], fixed: dict[int, tuple[float, float]]
) -> tuple[Callable[[int], int], set[int]]:
    """A function that gives all tensors which have one range the same number, and the joints.

    What pools, resizes or pads a map takes its range. What joins several shares its range with
    those that nothing else takes. The others keep ranges of their own, since the range of all would
    be too coarse for what takes them, too; the file converts them at the joint, whose output is
    rounded therefore.
    """
    parents: dict[int, int] = {}

    def root(number):
        while number in parents:
            number = parents[number]
        return number

    uses = Counter(outputs)
    for step in steps:
        if hands_on(step.operation) and len(set(step.values)) == 1:
            for number in step.floats:
                parents[number] = step.values[0]
        else:
            uses.update(step.values if hands_on(step.operation) else set(step.inputs.values()))
    for number, count in list(uses.items()):
        if root(number) != number:
            uses[root(number)] += count
    joints = set()
    for step in steps:
        if not hands_on(step.operation) or len(set(step.values)) < 2:
            continue
        (output,) = step.floats
        ranges = {fixed.get(root(number)) for number in step.values}
        if len(ranges) == 1 and None not in ranges:
            parents[output] = root(step.values[0])
            continue
        for number in step.values:
            if root(number) == output:
                continue
            if uses[root(number)] == 1 and root(number) not in fixed:
                parents[root(number)] = output
            else:
                joints.add(output)
    return root, joints
