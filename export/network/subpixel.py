"""Convolutions that enlarge maps or follow enlarged ones, computed on the small maps.

A nearest up-sampling by two makes four equal pixels of each. Of the nine weights that a 3x3
convolution lays on them, those that meet equal pixels can be added beforehand: each of the four
pixels then comes from a 2x2 window of the small map, by 4 of 9 products (9 of 25 for 5x5). What is
concatenated with the enlarged map has a convolution of its own, and the two results are added. So
neither the enlarged map nor the concatenated one is ever made, and the up-sampling, which XNNPACK
leaves to a kernel of one thread, is gone.

The sums are those of the network in another order. Measured for a decoder of five such steps at
256x256, LiteRT on 2 threads: 0.71 of the time, in float32 as in int8; a transposed 4x4
convolution, which says the same in one operator, takes 0.90 in float32 and 1.66 in int8.

Source: Shi et al., arXiv:1609.07009, for the equivalence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

from keras_seg.export.network.copies import config_of, copy_of
from keras_seg.export.network.folding import folded
from keras_seg.export.network.layer_rules import function_of
from keras_seg.export.network.plan import Step, make_plan, sole_takers
from keras_seg.export.network.subpixel_kernels import of_doubled, of_transposed
from keras_seg.export.network.subpixel_rules import keeps_apart, may_have_weights, of_each_value
from keras_seg.layers import DepthToSpace, Resize
from keras_seg.weights import set_weights


def with_subpixel_convolutions(
    model: keras.Model, *, transposed: bool = True, largest: int = 3
) -> keras.Model:
    """A copy of a functional float32 network with the same outputs; or `model` where nothing fits.

    Rewritten are convolutions of an odd size and stride 1 whose input is a nearest up-sampling by
    two, or a concatenation with such maps in it, also with batch norms and ReLUs between; and
    transposed convolutions without padding. A batch norm behind such a convolution folds into it.

    Args:
        transposed: False leaves transposed convolutions as they are.
        largest: size of the largest kernels that are rewritten. In iCNN, whose are 5x5 and more,
            TFLite's converter loses the ranges of the maps that are pooled beside.
    """
    rewriting = _Rewriting(model, transposed, largest)
    if not any(_may_enlarge(step.operation) for step in rewriting.plan.steps):
        return model  # without the time that a copy takes
    copy = rewriting.run()
    return copy if rewriting.rewritten else model


def _may_enlarge(operation: keras.Operation) -> bool:
    if not isinstance(operation, (layers.UpSampling2D, layers.Conv2DTranspose, Resize)):
        return False
    return getattr(operation, "interpolation", "nearest") == "nearest"


@dataclass(frozen=True)
class Part:
    """Some channels of a map; `enlarged`: still to be, by two, with nearest neighbours."""

    tensor: keras.KerasTensor
    enlarged: bool = False


class _Rewriting:
    """Copies one network call by call; `rewritten` counts the convolutions that changed."""

    def __init__(self, model: keras.Model, transposed: bool, largest: int):
        self.model, self.with_transposed, self.largest = model, transposed, largest
        self.plan, self.rewritten = make_plan(model), 0
        self.makers: dict[int, Step] = {n: step for step in self.plan.steps for n in step.outputs}
        self.takers = sole_takers(self.plan.steps, self.plan.outputs)
        self.tensors: dict[int, keras.KerasTensor] = {}
        self.copies: dict[int, keras.Operation] = {}
        self.names: set[str] = set()

    def run(self) -> keras.Model:
        plan, tensors = self.plan, self.tensors
        entry = self.model.inputs[0]
        image = keras.Input(entry.shape[1:], batch_size=entry.shape[0], name=entry.name)
        tensors[plan.image], within = image, set()
        for step in plan.steps:
            if id(step) in within:
                outputs = [tensors[step.values[0]]]
            elif found := self.faster(step):
                output, followers = found
                within |= {id(follower) for follower in followers}
                outputs = [output]
                self.rewritten += 1
            else:
                outputs = keras.tree.flatten(self.copied(step))
            tensors |= zip(step.outputs, outputs, strict=True)
        found = [tensors[number] for number in plan.outputs]
        output = keras.tree.pack_sequence_as(self.model.output, found)
        return keras.Model(image, output, name=self.model.name)

    def faster(self, step: Step) -> tuple[keras.KerasTensor, list[Step]] | None:
        """The output of a convolution and of those behind it that become part of it."""
        followers, layer = self.followers(step), step.operation
        if parts := self.parts_of(step):
            x = self.on_small_maps(step, followers, parts)
        elif size := self.square_of(step):
            x = self.transposed(step, followers, size)
        else:
            return None
        if not of_each_value(layer.activation):
            x = self.new(layers.Activation, f"{layer.name}.function", layer.activation)(x)
        return x, followers

    def square_of(self, step: Step) -> int | None:
        """Stride of a transposed convolution without padding, None for all else."""
        layer = step.operation
        if not (
            self.with_transposed
            and type(layer) is layers.Conv2DTranspose
            and layer.kernel_size[0] == layer.kernel_size[1]
            and layer.strides[0] == layer.strides[1] <= layer.kernel_size[0]
            and layer.dilation_rate == (1, 1)
            and layer.output_padding is None
            and (layer.padding == "valid" or layer.kernel_size == layer.strides)
            and layer.data_format == "channels_last"
            and not may_have_weights(layer.activation)
        ):
            return None
        # what a single pixel becomes doesn't depend on the stride
        alone = self.tensors[step.values[0]].shape[1:3] == (1, 1)
        return layer.kernel_size[0] if alone else layer.strides[0]

    def transposed(self, step: Step, followers: list[Step], stride: int) -> keras.KerasTensor:
        layer, x = step.operation, self.tensors[step.values[0]]
        kernel, bias = folded(layer, self.plan.folds.get(step.outputs[0]))
        bias = np.broadcast_to(bias, layer.filters)
        kernel, outside = of_transposed(kernel, stride), -layer.kernel_size[0] % stride
        if border := kernel.shape[0] - 1:
            x = self.new(layers.ZeroPadding2D, f"{layer.name}.border", border)(x)
        bias = np.tile(bias, stride**2)
        x = self.convolution([(x, kernel)], bias, layer, "windows", padding="valid")
        x = self.applied(self.functions(layer, followers), x)
        if stride > 1:
            x = self.new(DepthToSpace, f"{layer.name}.squares", stride)(x)
        if outside:
            x = self.new(layers.Cropping2D, f"{layer.name}.inside", ((0, outside),) * 2)(x)
        return x

    def functions(self, layer, followers: list[Step]) -> list[layers.Layer]:
        """What is applied to each value of a convolution's result."""
        own = of_each_value(layer.activation) and layer.activation is not keras.activations.linear
        behind = [f.operation for f in followers if function_of(f.operation)]
        return [*([layers.Activation(layer.activation)] if own else []), *behind]

    def parts_of(self, step: Step) -> list[Part]:
        """What such a convolution takes, small maps for enlarged ones; else, or if none is, []."""
        layer = step.operation
        fits = (
            type(layer) is layers.Conv2D
            and layer.kernel_size[0] == layer.kernel_size[1]
            and layer.kernel_size[0] in range(1, self.largest + 1, 2)
            and layer.strides == layer.dilation_rate == (1, 1)
            and layer.groups == 1
            and (layer.padding == "same" or layer.kernel_size == (1, 1))
            and layer.data_format == "channels_last"
            and not may_have_weights(layer.activation)
        )
        parts = list(self.parts(step.values[0])) if fits else []
        return parts if any(part.enlarged for part in parts) else []

    def parts(self, number: int) -> Iterator[Part]:
        """A tensor taken apart, as far as what is done to each of its values allows it."""
        maker = self.makers.get(number)
        operation = maker and maker.operation
        if isinstance(operation, layers.Concatenate) and operation.axis in (-1, 3):
            for value in maker.values:
                yield from self.parts(value)
        elif maker and self.doubles(maker):
            yield Part(self.tensors[maker.values[0]], enlarged=True)
        elif maker and number in self.takers and keeps_apart(operation):
            parts = list(self.parts(maker.values[0]))
            if any(part.enlarged for part in parts):
                yield from self.each(operation, parts)
            else:
                yield Part(self.tensors[number])
        else:
            yield Part(self.tensors[number])

    def each(self, layer: layers.Layer, parts: list[Part]) -> Iterator[Part]:
        """A layer that treats each channel by itself, on each of the parts."""
        ends = np.cumsum([part.tensor.shape[-1] for part in parts])[:-1]
        channels = [
            np.split(weights, ends, axis=2 if weights.ndim == 4 else 0)
            for weights in layer.get_weights()
        ]
        for i, part in enumerate(parts):
            copy = self.renamed(layer)
            x = copy(part.tensor)
            copy.set_weights([weights[i] for weights in channels])
            yield Part(x, part.enlarged)

    def doubles(self, step: Step) -> bool:
        layer = step.operation
        if isinstance(layer, layers.UpSampling2D):
            channels_last = layer.data_format == "channels_last"
            return layer.interpolation == "nearest" and layer.size == (2, 2) and channels_last
        if not isinstance(layer, Resize) or layer.interpolation != "nearest":
            return False
        if layer.grid == "align_corners":
            return False
        before, after = (self.tensors[n].shape[1:3] for n in (step.values[0], step.outputs[0]))
        by_two = None not in before and tuple(2 * size for size in before) == tuple(after)
        return layer.scale == 2 or by_two

    def followers(self, step: Step) -> list[Step]:
        """The batch norm that folds into a convolution, and the ReLU behind the two."""
        found, number = [], step.outputs[0]
        if not of_each_value(getattr(step.operation, "activation", None)):
            return found
        if number in self.plan.folds:
            found.append(self.takers[number])
            number = found[-1].outputs[0]
        after = self.takers.get(number)
        if after and function_of(after.operation) in ("relu", "relu6"):
            found.append(after)
        return found

    def on_small_maps(self, step: Step, followers: list[Step], parts) -> keras.KerasTensor:
        layer = step.operation
        kernel, bias = folded(layer, self.plan.folds.get(step.outputs[0]))
        bias = np.broadcast_to(bias, layer.filters)
        ends = np.cumsum([part.tensor.shape[-1] for part in parts])[:-1]
        pieces = list(zip(parts, np.split(kernel, ends, axis=2), strict=True))
        small, large = (
            [(part.tensor, weights) for part, weights in pieces if part.enlarged is wanted]
            for wanted in (True, False)
        )
        functions = self.functions(layer, followers)
        if not large:
            return self.enlarging(small, bias, functions, layer)
        x = self.enlarging(small, None, [], layer)
        beside = self.convolution(large, bias, layer, "beside", padding="same")
        x = self.new(layers.Add, f"{layer.name}.sum")([x, beside])
        return self.applied(functions, x)

    def applied(self, functions: list[layers.Layer], x: keras.KerasTensor) -> keras.KerasTensor:
        for function in functions:
            x = self.renamed(function)(x)
        return x

    def renamed(self, layer: layers.Layer) -> layers.Layer:
        return copy_of(layer, config_of(layer) | {"name": self.free_name(layer.name)})

    def enlarging(self, pieces, bias, functions, origin: layers.Conv2D) -> keras.KerasTensor:
        """The convolution of the enlarged maps, from the small ones.

        Functions of each value come before the squares take their places: there they are part of
        the convolution's operator, behind them one that XNNPACK does not have in int8.
        """
        name = origin.name
        if pieces[0][1].shape[:2] == (1, 1):
            x = self.convolution(pieces, bias, origin, "small", padding="valid")
            x = self.applied(functions, x)
            x = self.new(layers.Concatenate, f"{name}.four")([x] * 4)
            return self.new(DepthToSpace, f"{name}.squares", 2)(x)
        pieces = [(x, of_doubled(kernel)) for x, kernel in pieces]
        bias = None if bias is None else np.tile(bias, 4)
        width = len(pieces[0][1])
        between = width % 2 == 0  # windows lie between the small pixels
        if between:
            border = self.new(layers.ZeroPadding2D, f"{name}.border", width // 2)
            pieces = [(border(x), kernel) for x, kernel in pieces]
        padding = "valid" if between else "same"
        x = self.convolution(pieces, bias, origin, "windows", padding)
        x = self.applied(functions, x)
        x = self.new(DepthToSpace, f"{name}.squares", 2)(x)
        return self.new(layers.Cropping2D, f"{name}.inside", 1)(x) if between else x

    def convolution(self, pieces, bias: np.ndarray | None, origin, part: str, padding: str):
        """Of several maps beside each other, each with its weights; frozen if `origin` is."""
        name = f"{origin.name}.{part}"
        kernel = np.concatenate([weights for _, weights in pieces], axis=2)
        maps = [x for x, _ in pieces]
        if len(maps) > 1:
            maps = [self.new(layers.Concatenate, f"{name}.maps")(maps)]
        size, filters = kernel.shape[:2], kernel.shape[-1]
        words = {"padding": padding, "use_bias": bias is not None}
        layer = self.new(layers.Conv2D, name, filters, size, **words)
        x = layer(maps[0])
        layer.set_weights([kernel] if bias is None else [kernel, bias])
        layer.trainable = origin.trainable
        return x

    def new(self, kind: type, name: str, *words, **options) -> layers.Layer:
        return kind(*words, **options, name=self.free_name(name), dtype="float32")

    def free_name(self, name: str) -> str:
        found, number = name, 0
        while found in self.names:
            number += 1
            found = f"{name}_{number}"
        self.names.add(found)
        return found

    def copied(self, step: Step):
        layer = step.operation
        args, kwargs = step.arguments.fill_in(
            {key: self.tensors[number] for key, number in step.inputs.items()}
        )
        if not isinstance(layer, keras.layers.Layer):
            return layer(*args, **kwargs)
        if id(layer) not in self.copies:  # nested models may use a name each
            self.copies[id(layer)] = self.renamed(layer)
        outputs = self.copies[id(layer)](*args, **kwargs)
        if layer.weights:
            set_weights(self.copies[id(layer)], layer.get_weights())
        return outputs
