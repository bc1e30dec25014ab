"""Which tensors of a network are rounded, which share a range, and what folds into what.

The rules are those of TFLite's integer kernels: batch norm and ReLU are part of the operator before
them; pooling, resizing, padding and concatenation leave the integers as they are, so that all their
tensors have one range; a sigmoid's range is given; everything else has a range of its own.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
from keras import layers

from keras_seg.layers import (
    CropOrPad,
    EdgePadding2D,
    FakeQuantize,
    LayerScale,
    MaxPoolingWithIndices2D,
    MaxUnpooling2D,
    ParityPlanes,
    Preprocessing,
    Resize,
    ScaleBreak,
    SizeGuard,
    TotalDropout,
)

CONVOLUTIONS = (layers.Conv2D, layers.DepthwiseConv2D, layers.Conv2DTranspose, layers.Dense)
DROPOUTS = (layers.Dropout, layers.SpatialDropout2D, TotalDropout)
IDENTITIES = (*DROPOUTS, SizeGuard)
"""Layers that do nothing once the network is trained."""
SAME_RANGE = (
    *IDENTITIES,
    layers.AveragePooling2D,
    layers.Concatenate,
    layers.Cropping2D,
    layers.Flatten,
    layers.MaxPooling2D,
    layers.Maximum,
    layers.Minimum,
    layers.Reshape,
    layers.UpSampling2D,
    layers.ZeroPadding2D,
    CropOrPad,
    EdgePadding2D,
    MaxPoolingWithIndices2D,
    MaxUnpooling2D,
    Resize,
)
"""Layers whose output has the integers of their inputs, or means of them."""
MEANS = (layers.AveragePooling2D, layers.UpSampling2D, Resize)
"""Those of them that round, since they put out means."""
PER_CHANNEL = (layers.BatchNormalization, LayerScale, Preprocessing)
"""y = x * scale + offset with numbers a channel: a 1x1 depthwise convolution for TFLite."""
ARITHMETIC = (layers.Add, layers.Multiply, layers.Subtract)
ONE_OPERATOR = (
    *CONVOLUTIONS,
    *SAME_RANGE,
    *ARITHMETIC,
    layers.Activation,
    layers.GlobalAveragePooling2D,
    layers.LeakyReLU,
    layers.ReLU,
    ParityPlanes,
    ScaleBreak,
)
"""What becomes integer operators. The insides of other layers have no ranges: they stay float."""
IMAGE = (0.0, 255.0)
"""A network takes pixels, so that the bytes of a camera are its input as they are."""
FIXED = {
    "sigmoid": (0.0, 255 / 256),
    "softmax": (0.0, 255 / 256),
    "tanh": (-1.0, 127 / 128),
    "hard_sigmoid": (0.0, 1.0),  # which its rounding cuts off at; TFLite leaves it open
}
"""Ranges that TFLite prescribes for the outputs of these functions."""


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
        sources: tensors that are computed anew, and rounded.
        means: tensors that are means of rounded ones, and rounded again.
        group: source or mean → number of its group, all of whose tensors have one range.
        members: group with a measured range → the sources that it is measured on.
        given: group with a prescribed range → that range.
        fixed: source → its prescribed range, if it has one.
    """

    steps: list[Step]
    image: int
    outputs: list[int]
    folds: dict[int, layers.BatchNormalization]
    sources: set[int]
    means: set[int]
    group: dict[int, int]
    members: dict[int, list[int]]
    given: dict[int, tuple[float, float]]
    fixed: dict[int, tuple[float, float]]


def function_of(operation) -> str | None:
    """Name of the function that a layer without weights applies to each value, None if none."""
    if isinstance(operation, layers.ReLU):
        plain = not operation.negative_slope and not operation.threshold
        return {None: "relu", 6: "relu6"}.get(operation.max_value) if plain else None
    if isinstance(operation, layers.Softmax):
        return "softmax"
    if isinstance(operation, layers.Activation):
        return getattr(operation.activation, "__name__", None)
    return None


def _last_function(operation) -> str | None:
    if isinstance(operation, CONVOLUTIONS):
        return getattr(operation.activation, "__name__", None)
    return function_of(operation)


def is_identity(operation) -> bool:
    """Whether a layer does nothing once the network is trained."""
    return isinstance(operation, IDENTITIES) or function_of(operation) == "linear"


def stays_float(operation) -> bool:
    """Whether a file computes a layer in float, because its insides have no ranges."""
    return not isinstance(operation, (FakeQuantize, layers.InputLayer, *ONE_OPERATOR))


def make_plan(model: keras.Model) -> Plan:
    """Reads the graph of a functional model; nested functional models are taken apart."""
    count = itertools.count()
    numbers = {id(x): next(count) for x in model.inputs}
    steps = list(_steps(model, numbers, count))
    outputs = [numbers[id(x)] for x in keras.tree.flatten(model.output)]
    takers = _sole_takers(steps, outputs)
    folds = _folds(steps, takers)
    image = numbers[id(model.inputs[0])]
    means = {n for step in steps if isinstance(step.operation, MEANS) for n in step.floats}
    fixed = {image: IMAGE} | {
        step.outputs[0]: FIXED[function]
        for step in steps
        if (function := _last_function(step.operation)) in FIXED
    }
    root, joints = _joined(steps, outputs, fixed)
    bare = set(folds) | _before_relu(steps, takers, folds)
    sources = [image, *_sources(steps, bare, joints)]
    members, given = defaultdict(list), {}
    for number in sources:
        members[root(number)].append(number)
    for group, numbers in list(members.items()):
        ranges = {fixed.get(number) for number in numbers}
        if len(ranges) == 1 and None not in ranges:
            given[group] = ranges.pop()
            del members[group]
    return Plan(
        steps=steps,
        image=image,
        outputs=outputs,
        folds=folds,
        sources=set(sources),
        means=means,
        group={number: root(number) for number in (*sources, *means)},
        members=dict(members),
        given=given,
        fixed=fixed,
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


def _sole_takers(steps: list[Step], outputs: list[int]) -> dict[int, Step]:
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


def _hands_on(operation) -> bool:
    return isinstance(operation, SAME_RANGE) or is_identity(operation)


def _sources(steps: list[Step], bare: set[int], joints: set[int]) -> list[int]:
    """Tensors that are computed anew, not handed on, nor swallowed by the next operator."""
    return [
        number
        for step in steps
        for number in step.floats
        if number in joints or not (_hands_on(step.operation) or number in bare)
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
        if _hands_on(step.operation) and len(step.values) == 1:
            for number in step.floats:
                parents[number] = step.values[0]
        else:
            uses.update(step.values if _hands_on(step.operation) else set(step.inputs.values()))
    for number, count in list(uses.items()):
        if root(number) != number:
            uses[root(number)] += count
    joints = set()
    for step in steps:
        if not _hands_on(step.operation) or len(step.values) < 2:
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
