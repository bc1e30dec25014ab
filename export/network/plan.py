"""The plan of a quantization: rounded tensors, shared ranges, and folded layers.

The rules are those of TFLite's integer kernels:

- Batch norm and ReLU are part of the operator before them.
- Pooling, resizing, padding and concatenation keep integers unchanged, so inputs and output share
  one range.
- The range of a sigmoid is prescribed.
- Every other tensor has its own range.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from keras_seg.export.network.layer_rules import (
    ARITHMETIC,
    CONVOLUTIONS,
    FIXED,
    IMAGE,
    MEANS,
    PER_CHANNEL,
    function_of,
    is_scale_and_offset,
    keeps_range,
    last_function_of,
)


@dataclass(frozen=True)
class LayerCall:
    """One call of a layer, with numbers for tensors.

    Attributes:
        operation: the layer.
        arguments: arguments of the call.
        inputs: id of a symbolic tensor → its number.
        values: numbers of the inputs that enter the computation. Inputs that only give a size are
            left out.
        outputs: numbers of the outputs.
        floats: numbers of the outputs that are floats, which are rounded.
    """

    operation: keras.Operation
    arguments: object
    inputs: dict[int, int]
    values: tuple[int, ...]
    outputs: tuple[int, ...]
    floats: tuple[int, ...]


@dataclass(frozen=True)
class Plan:
    """What happens to each tensor of a network. Tensors and groups of tensors have numbers.

    Attributes:
        calls: calls of layers, in the order of computation.
        image: number of the input.
        outputs: numbers of the outputs, in the order of `keras.tree.flatten`.
        folds: output of a convolution → the batch norm that folds into the convolution.
        group: tensor that is rounded → its group, whose tensors share one range.
        members: group with a measured range → the tensors that it is measured on.
        prescribed: group with a prescribed range → that range.
    """

    calls: list[LayerCall]
    image: int
    outputs: list[int]
    folds: dict[int, layers.BatchNormalization]
    group: dict[int, int]
    members: dict[int, list[int]]
    prescribed: dict[int, tuple[float, float]]


def make_plan(model: keras.Model) -> Plan:
    """Reads the graph of a functional model; nested functional models are flattened."""
    count = itertools.count()
    numbers = {id(x): next(count) for x in model.inputs}
    calls = list(_calls(model, numbers, count))
    outputs = [numbers[id(x)] for x in keras.tree.flatten(model.output)]
    takers = sole_takers(calls, outputs)
    folds = _folds(calls, takers)
    image = numbers[id(model.inputs[0])]
    means = {n for call in calls if isinstance(call.operation, MEANS) for n in call.floats}
    fixed = {image: IMAGE} | {
        call.outputs[0]: FIXED[function]
        for call in calls
        if (function := last_function_of(call.operation)) in FIXED
    }
    root, joints = _joined(calls, outputs, fixed)
    fused = set(folds) | _before_relu(calls, takers, folds)
    sources = [image, *_sources(calls, fused, joints)]
    # a measured tensor never shares the group of a prescribed one: only joints have several sources
    prescribed = {root(number): bounds for number, bounds in fixed.items()}
    members = defaultdict(list)
    for number in sources:
        if root(number) not in prescribed:
            members[root(number)].append(number)
    return Plan(
        calls=calls,
        image=image,
        outputs=outputs,
        folds=folds,
        group={number: root(number) for number in (*sources, *means)},
        members=dict(members),
        prescribed=prescribed,
    )


def _calls(
    model: keras.Model, numbers: dict[int, int], count: Iterator[int]
) -> Iterator[LayerCall]:
    """Calls in the order of computation.

    Args:
        numbers: id of a symbolic tensor → number; the outputs of the calls are added to it.
        count: the next free numbers.
    """
    nodes = model._nodes_by_depth
    for node in (node for depth in sorted(nodes, reverse=True) for node in nodes[depth]):
        if node.is_input:
            continue
        inner = getattr(node.operation, "_functional", None) or node.operation  # of a Sequential
        if isinstance(inner, keras.Model) and hasattr(inner, "_nodes_by_depth"):
            # a model may be called twice: each call numbers its inner tensors anew
            pairs = zip(inner.inputs, node.input_tensors, strict=True)
            inside = {id(x): numbers[id(y)] for x, y in pairs}
            yield from _calls(inner, inside, count)
            outputs = [inside[id(x)] for x in keras.tree.flatten(inner.output)]
        else:
            outputs = [next(count) for _ in node.outputs]
            inputs = {id(x): numbers[id(x)] for x in node.input_tensors}
            values = tuple(inputs[id(x)] for x in _floats(_first_argument(node)))
            floats = _floats(node.outputs)
            rounded = tuple(
                n for n, x in zip(outputs, node.outputs, strict=True) if any(x is y for y in floats)
            )
            yield LayerCall(node.operation, node.arguments, inputs, values, tuple(outputs), rounded)
        numbers |= {id(x): number for x, number in zip(node.outputs, outputs, strict=True)}


def _first_argument(node: Any) -> list[Any]:
    arguments = node.arguments
    return keras.tree.flatten((*arguments.args, *arguments.kwargs.values())[0])


def _floats(values: list) -> list[keras.KerasTensor]:
    return [x for x in values if isinstance(x, keras.KerasTensor) and "float" in str(x.dtype)]


def sole_takers(calls: list[LayerCall], outputs: list[int]) -> dict[int, LayerCall]:
    """Tensor → the only call that takes it, for tensors that are not outputs."""
    takers = defaultdict(list)
    for call in calls:
        for number in set(call.inputs.values()):
            takers[number].append(call)
    return {n: few[0] for n, few in takers.items() if len(few) == 1 and n not in outputs}


def _folds(
    calls: list[LayerCall], takers: dict[int, LayerCall]
) -> dict[int, layers.BatchNormalization]:
    """Output of a convolution → the batch norm that is the only layer to take it."""
    times = Counter(id(call.operation) for call in calls)
    return {
        call.outputs[0]: norm
        for call in calls
        if isinstance(call.operation, CONVOLUTIONS)
        and call.operation.activation is keras.activations.linear
        and call.outputs[0] in takers
        and isinstance(norm := takers[call.outputs[0]].operation, layers.BatchNormalization)
        and is_scale_and_offset(norm)
        and times[id(call.operation)] == times[id(norm)] == 1
    }


def _before_relu(calls: list[LayerCall], takers: dict[int, LayerCall], folds: dict) -> set[int]:
    """Outputs of operators into which a ReLU fuses."""
    # no ReLU fuses into a transposed convolution, with a batch norm or without
    ends = {}
    for call in calls:
        if isinstance(call.operation, layers.Conv2DTranspose):
            number = call.outputs[0]
            ends[takers[number].outputs[0] if number in folds else number] = call
    return {
        call.outputs[0]
        for call in calls
        if isinstance(call.operation, (*CONVOLUTIONS, *PER_CHANNEL, *ARITHMETIC))
        and call.outputs[0] not in ends
        and call.outputs[0] in takers
        and function_of(takers[call.outputs[0]].operation) in ("relu", "relu6")
    }


def _sources(calls: list[LayerCall], fused: set[int], joints: set[int]) -> list[int]:
    """Tensors whose values are new and exist in the file: not those inside a fused operator."""
    return [
        number
        for call in calls
        for number in call.floats
        if number in joints or not (keeps_range(call.operation) or number in fused)
    ]


def _joined(
    calls: list[LayerCall], outputs: list[int], fixed: dict[int, tuple[float, float]]
) -> tuple[Callable[[int], int], set[int]]:
    """Which tensors share a range.

    A layer that pools, resizes or pads a map keeps its range. A joint, such as a concatenation, has
    one range with those of its inputs that no other layer takes. Its other inputs keep their
    own ranges, because the common range would be too coarse for the other layers; the file converts
    them at the joint, so the output of the joint is rounded.

    Returns: a function that gives all tensors with the same range the same number, and the outputs
    of the joints that convert.
    """
    parents: dict[int, int] = {}

    def root(number: int) -> int:
        while number in parents:
            number = parents[number]
        return number

    uses = Counter(outputs)
    for call in calls:
        if keeps_range(call.operation) and len(set(call.values)) == 1:
            for number in call.floats:
                parents[number] = call.values[0]
        else:
            uses.update(call.values if keeps_range(call.operation) else set(call.inputs.values()))
    for number, count in list(uses.items()):
        if root(number) != number:
            uses[root(number)] += count
    joints = set()
    for call in calls:
        if not keeps_range(call.operation) or len(set(call.values)) < 2:
            continue
        (output,) = call.floats
        ranges = {fixed.get(root(number)) for number in call.values}
        if len(ranges) == 1 and None not in ranges:
            parents[output] = root(call.values[0])
            continue
        for number in call.values:
            if root(number) == output:
                continue
            if uses[root(number)] == 1 and root(number) not in fixed:
                parents[root(number)] = output
            else:
                joints.add(output)
    return root, joints
