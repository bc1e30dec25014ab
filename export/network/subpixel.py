"""Sub-pixel convolutions in place of up-sampling and transposed convolutions.

Nearest up-sampling by two turns each pixel into four equal ones. A 3x3 convolution behind it
multiplies equal pixels by several weights, which can be added beforehand: each of the four pixels
is then a 2x2 convolution of the small map, with 4 of 9 multiplications (9 of 25 for 5x5). Maps that
are concatenated with the enlarged map get a separate convolution, and the two results are
added. So the enlarged and the concatenated map are never computed. The up-sampling, which XNNPACK
leaves to a single-threaded kernel, disappears.

The sums are those of the network in another order. Measured for a decoder of five such stages at
256x256, LiteRT on 2 threads: 0.71 of the time in float32 and in int8. A transposed 4x4 convolution,
which is equivalent in one operator, takes 0.90 in float32 and 1.66 in int8.

Source: Shi et al., arXiv:1609.07009, for the equivalence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_seg.export.network.copies import config_of, copy_of, share_weights
from keras_seg.export.network.folding import folded
from keras_seg.export.network.layer_rules import (
    can_be_subpixel_transposed,
    can_read_small_map,
    function_of,
    is_elementwise,
    is_per_channel,
)
from keras_seg.export.network.plan import LayerCall, make_plan, sole_takers
from keras_seg.export.network.subpixel_kernels import kernel_of_transposed, kernel_on_small_map
from keras_seg.layers import DepthToSpace, Resize


def with_subpixel_convolutions(
    model: keras.Model, *, transposed: bool = True, largest: int = 3
) -> keras.Model:
    """A copy of a functional float32 network with the same outputs; `model` if nothing changes.

    Rewritten are:

    - convolutions of odd size and stride 1 whose input is a nearest up-sampling by two, or a
      concatenation that contains such maps, also with batch norms and ReLUs in between;
    - transposed convolutions without padding.

    A batch norm behind such a convolution folds into it.

    Args:
        transposed: False leaves transposed convolutions unchanged.
        largest: size of the largest kernels that are rewritten.
    """
    rewriter = _SubpixelRewriter(model, transposed, largest)
    if not any(_may_enlarge(call.operation) for call in rewriter.plan.calls):
        return model  # saves the time of a copy
    copy = rewriter.run()
    return copy if rewriter.rewritten else model


def _may_enlarge(operation: keras.Operation) -> bool:
    if not isinstance(operation, (layers.UpSampling2D, layers.Conv2DTranspose, Resize)):
        return False
    return getattr(operation, "interpolation", "nearest") == "nearest"


@dataclass(frozen=True)
class Part:
    """Some channels of a map.

    Attributes:
        tensor: their values.
        enlarged: whether the network up-samples them by two, with nearest neighbours, before it
            reads them; the tensor is small.
    """

    tensor: keras.KerasTensor
    enlarged: bool = False


Piece = tuple[keras.KerasTensor, np.ndarray]
"""A map and the weights of a convolution for its channels."""


class _SubpixelRewriter:
    """Copies one network call by call; `rewritten` counts the convolutions that changed."""

    def __init__(self, model: keras.Model, transposed: bool, largest: int):
        self.model, self.with_transposed, self.largest = model, transposed, largest
        self.plan, self.rewritten = make_plan(model), 0
        self.makers = {n: call for call in self.plan.calls for n in call.outputs}
        self.takers = sole_takers(self.plan.calls, self.plan.outputs)
        self.tensors: dict[int, keras.KerasTensor] = {}
        self.copies: dict[int, keras.Operation] = {}
        self.names: set[str] = set()

    def run(self) -> keras.Model:
        plan, tensors = self.plan, self.tensors
        entry = self.model.inputs[0]
        image = keras.Input(entry.shape[1:], batch_size=entry.shape[0], name=entry.name)
        tensors[plan.image], merged = image, set()
        for call in plan.calls:
            if id(call) in merged:
                outputs = [tensors[call.values[0]]]
            elif rewritten := self.as_subpixel(call):
                output, followers = rewritten
                merged |= {id(follower) for follower in followers}
                outputs = [output]
                self.rewritten += 1
            else:
                outputs = keras.tree.flatten(self.copied(call))
            tensors |= zip(call.outputs, outputs, strict=True)
        outputs = [tensors[number] for number in plan.outputs]
        output = keras.tree.pack_sequence_as(self.model.output, outputs)
        return keras.Model(image, output, name=self.model.name)

    def as_subpixel(self, call: LayerCall) -> tuple[keras.KerasTensor, list[LayerCall]] | None:
        """Rewrites a convolution if it can be.

        Returns: the output, and the calls behind the convolution that it includes.
        """
        followers, layer = self.followers(call), call.operation
        if parts := self.parts_of(call):
            x = self.on_small_maps(call, followers, parts)
        elif size := self.square_of(call):
            x = self.transposed(call, followers, size)
        else:
            return None
        if not is_elementwise(layer.activation):
            x = self.new(layers.Activation, f"{layer.name}.function", layer.activation)(x)
        return x, followers

    def square_of(self, call: LayerCall) -> int | None:
        """Stride of a transposed convolution without padding, None for any other call."""
        layer = call.operation
        if not (self.with_transposed and can_be_subpixel_transposed(layer)):
            return None
        # the output of a single pixel does not depend on the stride
        alone = self.tensors[call.values[0]].shape[1:3] == (1, 1)
        return layer.kernel_size[0] if alone else layer.strides[0]

    def transposed(
        self, call: LayerCall, followers: list[LayerCall], stride: int
    ) -> keras.KerasTensor:
        layer, x = call.operation, self.tensors[call.values[0]]
        kernel, bias = folded(layer, self.plan.folds.get(call.outputs[0]))
        bias = np.broadcast_to(bias, layer.filters)
        kernel, outside = kernel_of_transposed(kernel, stride), -layer.kernel_size[0] % stride
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

    def functions(self, layer: layers.Layer, followers: list[LayerCall]) -> list[layers.Layer]:
        """The element-wise functions that are applied to the output of a convolution."""
        own = is_elementwise(layer.activation) and layer.activation is not keras.activations.linear
        behind = [f.operation for f in followers if function_of(f.operation)]
        return [*([layers.Activation(layer.activation)] if own else []), *behind]

    def parts_of(self, call: LayerCall) -> list[Part]:
        """The input of a convolution in parts; [] if it cannot be rewritten."""
        layer = call.operation
        fits = can_read_small_map(layer) and layer.kernel_size[0] <= self.largest
        parts = list(self.parts(call.values[0])) if fits else []
        return parts if any(part.enlarged for part in parts) else []

    def parts(self, number: int) -> Iterator[Part]:
        """A tensor in parts, as far back as the layers in between are per channel."""
        maker = self.makers.get(number)
        operation = maker and maker.operation
        if isinstance(operation, layers.Concatenate) and operation.axis in (-1, 3):
            for value in maker.values:
                yield from self.parts(value)
        elif maker and self.doubles(maker):
            yield Part(self.tensors[maker.values[0]], enlarged=True)
        elif maker and number in self.takers and is_per_channel(operation):
            parts = list(self.parts(maker.values[0]))
            if any(part.enlarged for part in parts):
                yield from self.on_each_part(operation, parts)
            else:
                yield Part(self.tensors[number])
        else:
            yield Part(self.tensors[number])

    def on_each_part(self, layer: layers.Layer, parts: list[Part]) -> Iterator[Part]:
        """Applies a per-channel layer to each of the parts."""
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

    def doubles(self, call: LayerCall) -> bool:
        """Whether a call up-samples by two with nearest neighbours."""
        layer = call.operation
        if isinstance(layer, layers.UpSampling2D):
            channels_last = layer.data_format == "channels_last"
            return layer.interpolation == "nearest" and layer.size == (2, 2) and channels_last
        if not isinstance(layer, Resize) or layer.interpolation != "nearest":
            return False
        if layer.grid == "align_corners":
            return False
        before, after = (self.tensors[n].shape[1:3] for n in (call.values[0], call.outputs[0]))
        by_two = None not in before and tuple(2 * size for size in before) == tuple(after)
        return layer.scale == 2 or by_two

    def followers(self, call: LayerCall) -> list[LayerCall]:
        """The batch norm that folds into a convolution, and the ReLU behind the two."""
        followers, number = [], call.outputs[0]
        if not is_elementwise(getattr(call.operation, "activation", None)):
            return followers
        if number in self.plan.folds:
            followers.append(self.takers[number])
            number = followers[-1].outputs[0]
        after = self.takers.get(number)
        if after and function_of(after.operation) in ("relu", "relu6"):
            followers.append(after)
        return followers

    def on_small_maps(
        self, call: LayerCall, followers: list[LayerCall], parts: list[Part]
    ) -> keras.KerasTensor:
        """A convolution of enlarged and other maps, as a sum of one of each."""
        layer = call.operation
        kernel, bias = folded(layer, self.plan.folds.get(call.outputs[0]))
        bias = np.broadcast_to(bias, layer.filters)
        ends = np.cumsum([part.tensor.shape[-1] for part in parts])[:-1]
        pieces = list(zip(parts, np.split(kernel, ends, axis=2), strict=True))
        small, large = (
            [(part.tensor, weights) for part, weights in pieces if part.enlarged is enlarged]
            for enlarged in (True, False)
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

    def enlarging(
        self,
        pieces: list[Piece],
        bias: np.ndarray | None,
        functions: list[layers.Layer],
        origin: layers.Conv2D,
    ) -> keras.KerasTensor:
        """The convolution of the enlarged maps, computed from the small ones.

        Element-wise functions come before DepthToSpace: there they fuse into the convolution;
        behind it they would be an operator that XNNPACK does not have in int8.
        """
        name = origin.name
        if pieces[0][1].shape[:2] == (1, 1):
            x = self.convolution(pieces, bias, origin, "small", padding="valid")
            x = self.applied(functions, x)
            x = self.new(layers.Concatenate, f"{name}.four")([x] * 4)
            return self.new(DepthToSpace, f"{name}.squares", 2)(x)
        pieces = [(x, kernel_on_small_map(kernel)) for x, kernel in pieces]
        bias = None if bias is None else np.tile(bias, 4)
        width = len(pieces[0][1])
        between = width % 2 == 0  # windows are centred between the small pixels
        if between:
            border = self.new(layers.ZeroPadding2D, f"{name}.border", width // 2)
            pieces = [(border(x), kernel) for x, kernel in pieces]
        padding = "valid" if between else "same"
        x = self.convolution(pieces, bias, origin, "windows", padding)
        x = self.applied(functions, x)
        x = self.new(DepthToSpace, f"{name}.squares", 2)(x)
        return self.new(layers.Cropping2D, f"{name}.inside", 1)(x) if between else x

    def convolution(
        self,
        pieces: list[Piece],
        bias: np.ndarray | None,
        origin: layers.Layer,
        part: str,
        padding: str,
    ) -> keras.KerasTensor:
        """One convolution of several maps, concatenated; frozen if `origin` is."""
        name = f"{origin.name}.{part}"
        kernel = np.concatenate([weights for _, weights in pieces], axis=2)
        maps = [x for x, _ in pieces]
        if len(maps) > 1:
            maps = [self.new(layers.Concatenate, f"{name}.maps")(maps)]
        size, filters = kernel.shape[:2], kernel.shape[-1]
        layer = self.new(
            layers.Conv2D, name, filters, size, padding=padding, use_bias=bias is not None
        )
        x = layer(maps[0])
        layer.set_weights([kernel] if bias is None else [kernel, bias])
        layer.trainable = origin.trainable
        return x

    def new(self, kind: type, name: str, *arguments: Any, **options: Any) -> layers.Layer:
        return kind(*arguments, **options, name=self.free_name(name), dtype="float32")

    def free_name(self, name: str) -> str:
        free, number = name, 0
        while free in self.names:
            number += 1
            free = f"{name}_{number}"
        self.names.add(free)
        return free

    def copied(self, call: LayerCall) -> Any:
        """The outputs of a copy of the layer."""
        layer = call.operation
        args, kwargs = call.arguments.fill_in(
            {key: self.tensors[number] for key, number in call.inputs.items()}
        )
        if not isinstance(layer, keras.layers.Layer):
            return layer(*args, **kwargs)
        if id(layer) not in self.copies:  # nested models may use the same names
            self.copies[id(layer)] = self.renamed(layer)
        outputs = self.copies[id(layer)](*args, **kwargs)
        if layer.weights:
            share_weights(self.copies[id(layer)], layer)
        return outputs
