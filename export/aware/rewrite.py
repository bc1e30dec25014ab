"""Training that sees the rounding of the integer file, for Keras 3."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras import layers

from keras_seg.export.errors import ExportError
from keras_seg.export.network.copies import config_of, copy_of
from keras_seg.export.network.deployed import in_float32
from keras_seg.export.network.folding import folded, scale_and_offset
from keras_seg.export.network.layer_rules import CONVOLUTIONS, DROPOUTS, FIXED, by_channel
from keras_seg.export.network.plan import Step, make_plan
from keras_seg.export.network.subpixel import with_subpixel_convolutions
from keras_seg.export.trained_ranges import is_quantization_aware
from keras_seg.layers import (
    FakeQuantize,
    Preprocessing,
    QuantizedConv2D,
    QuantizedConv2DTranspose,
    QuantizedDense,
    QuantizedDepthwiseConv2D,
    ScaleBreak,
)
from keras_seg.models.functional import as_functional
from keras_seg.weights import set_weights

QUANTIZED = {
    # subclasses first: Keras derives transposed from plain convolutions
    layers.Conv2DTranspose: QuantizedConv2DTranspose,
    layers.DepthwiseConv2D: QuantizedDepthwiseConv2D,
    layers.Conv2D: QuantizedConv2D,
    layers.Dense: QuantizedDense,
}


def quantization_aware(
    model: keras.Model, *, momentum: float = 0.99, subpixel: bool = True
) -> keras.Model:
    """A copy of a trained network that computes with the roundings of its int8 TFLite file.

        aware = keras_seg.export.quantization_aware(model)
        aware.compile(keras.optimizers.Adam(1e-4), loss)
        aware.fit(images, masks, epochs=3)
        keras_seg.export.export(aware, "model.tflite", quantize="int8")  # needs no calibration

    A few epochs at a tenth to a hundredth of the learning rate win back what rounding has cost.
    The copy is an ordinary functional model: it trains, saves and loads as `.keras` and takes the
    images and masks of the original. `export` knows it and writes the trained ranges as the scales
    of the file.

    Args:
        model: a trained network, functional, Sequential, or subclassed of Keras layers; pixels in
            0..255 → logits or probabilities. It stays as it is.
        momentum: share of a range's old extremes that a training step keeps; the first batch
            counts whole, so that one step is enough to have ranges at all.
        subpixel: as in `export`, for the file to be; the copy trains in that form.

    What is rounded, by the rules of TFLite's integer kernels:

    - Kernels: 255 steps about zero, one step size an output channel, also in depthwise and
      transposed convolutions.
    - Tensors: 256 steps, one range a tensor, after the ReLU that becomes part of an operator.
      What pools, resizes, pads or unpools a map keeps its range. A concatenation has one range with
      its inputs, but for those that other layers take, too: the common range would be too coarse
      for these, so the file converts them, by one operator. The image has the range 0..255, a
      sigmoid and a tanh the ranges that TFLite prescribes.
    - Batch norm folds into the convolution before it, for good and with its moving statistics: its
      copy has a kernel and a bias in place of the two. Statistics of a batch would make training
      compute something else than the file, and segmentation's batches are too small for good
      ones. Batch norms that follow no convolution become 1x1 depthwise convolutions, as the
      normalisation of the image does, which loses nothing: a kernel of one weight a channel is
      rounded without error.
    - Dropout is left out: what it makes of a tensor is larger than what the file will see, and its
      range would be.
    - Softmax attention, local response normalisation and other layers that consist of several
      operators stay float, since their insides have no ranges; `float_layers` names them.

    Everything is float32, also from a model of mixed precision.

    Source: Jacob et al., CVPR 2018, arXiv:1712.05877, which folds with the statistics of the batch
    and freezes them later; Krishnamoorthi, arXiv:1806.08342, for a step a channel.
    Raises: ExportError for a subclassed model whose `call` cannot be followed, or a model that
    takes several images or keeps channels first; ValueError for one that is quantization-aware
    already.
    """
    if is_quantization_aware(model):
        raise ValueError(
            f"The model {model.name!r} is quantization-aware already. Train it, or pass the "
            "original network."
        )
    try:
        model = as_functional(model)
    except ValueError as error:
        raise ExportError(str(error)) from error
    if len(model.inputs) != 1:
        raise ExportError(
            "Quantization-aware training needs a model with one image input. Received: "
            f"{type(model).__name__} {model.name!r} with {len(model.inputs)}."
        )
    if subpixel:
        model = with_subpixel_convolutions(model)
    return _Rewriting(model, momentum).run()


class _Rewriting:
    """Builds the quantization-aware copy of one model, step by step."""

    def __init__(self, model: keras.Model, momentum: float):
        self.model, self.momentum, self.plan = model, momentum, make_plan(model)
        self.copies: dict[int, keras.layers.Layer] = {}
        self.ranges: dict[int, FakeQuantize] = {}
        self.names: set[str] = set()

    def run(self) -> keras.Model:
        plan = self.plan
        image = keras.Input(self.model.inputs[0].shape[1:], name=self.model.inputs[0].name)
        tensors = {plan.image: self.rounded(plan.image, image, "image")}
        norms = set(map(id, plan.folds.values()))
        for step in plan.steps:
            if id(step.operation) in norms:  # in the convolution already
                outputs = [tensors[step.values[0]]]
            else:
                outputs = keras.tree.flatten(self.converted(step, tensors))
            for number, x in zip(step.outputs, outputs, strict=True):
                tensors[number] = self.rounded(number, x, step.operation.name)
        found = [tensors[number] for number in plan.outputs]
        output = keras.tree.pack_sequence_as(self.model.output, found)
        return keras.Model(image, output, name=self.model.name)

    def rounded(self, number: int, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """The tensor of that number as the integer file holds it."""
        group = self.plan.group.get(number)
        if group is None:
            return x
        if group in self.plan.given:
            return self.fixed(x, self.plan.given[group], name)
        members = self.plan.members[group]
        member = members.index(number) if number in members else None
        return self.group_range(group, name)(x, member=member)

    def fixed(self, x, bounds: tuple[float, float], name: str):
        name = self.free_name(f"{name}.fixed_range")
        return FakeQuantize(fixed=bounds, name=name, dtype="float32")(x)

    def own_range(self, x, name: str):
        """Rounds a tensor that the original network does not have."""
        name = self.free_name(f"{name}.range")
        return FakeQuantize(momentum=self.momentum, name=name, dtype="float32")(x, member=0)

    def group_range(self, group: int, name: str) -> FakeQuantize:
        """The one layer of all tensors of a group, named after the first of them."""
        if group not in self.ranges:
            self.ranges[group] = FakeQuantize(
                len(self.plan.members[group]),
                momentum=self.momentum,
                name=self.free_name(f"{name}.range"),
                dtype="float32",
            )
        return self.ranges[group]

    def free_name(self, name: str) -> str:
        while name in self.names:
            name += "_"
        self.names.add(name)
        return name

    def converted(self, step: Step, tensors: dict[int, keras.KerasTensor]):
        """What a layer puts out, computed as the integer file will, but for the last rounding."""
        layer, values = step.operation, [tensors[number] for number in step.values]
        if isinstance(layer, DROPOUTS):
            return values[0]
        if isinstance(layer, CONVOLUTIONS):
            return self.convolution(layer, self.plan.folds.get(step.outputs[0]), values[0])
        if by_channel(layer) and len(values[0].shape) == 4:
            return self.per_channel(layer, values[0])
        if isinstance(layer, ScaleBreak):  # the converter overlooks two roundings in a row
            return self.depthwise(values[0], layer.name, scale=1.0)
        if isinstance(layer, (layers.Add, layers.Multiply)) and len(values) > 2:
            return self.in_pairs(layer, values)
        if isinstance(layer, layers.Activation):
            return self.activated(layer.activation, values[0], layer.name)
        args, kwargs = step.arguments.fill_in({key: tensors[n] for key, n in step.inputs.items()})
        copy = self.copy_of(layer, lambda: _copied(layer))
        outputs = copy(*args, **kwargs)
        if isinstance(layer, keras.layers.Layer) and layer.weights:
            set_weights(copy, [np.asarray(value, np.float32) for value in layer.get_weights()])
        return outputs

    def copy_of(self, layer, make: Callable[[], keras.layers.Layer]):
        """One copy of each layer, however often it is called."""
        if id(layer) not in self.copies:
            self.copies[id(layer)] = make()
            self.names.add(layer.name)
        return self.copies[id(layer)]

    def convolution(self, layer, norm: layers.BatchNormalization | None, x):
        """A convolution with its batch norm, without its activation."""
        kind = next(kind for kind in QUANTIZED if isinstance(layer, kind))
        _check_channels_last(layer)
        config = in_float32(layer.get_config())
        use_bias = layer.use_bias or norm is not None
        config |= {"activation": "linear", "use_bias": use_bias}
        copy = self.copy_of(layer, lambda: QUANTIZED[kind].from_config(config))
        x = copy(x)
        kernel, bias = folded(layer, norm)
        copy.set_weights([kernel, bias] if use_bias else [kernel])
        name = getattr(layer.activation, "__name__", "linear")
        if name == "linear":
            return x
        if name not in ("relu", "relu6"):
            x = self.own_range(x, layer.name)
        return self.activated(layer.activation, x, self.free_name(f"{layer.name}.activation"))

    def per_channel(self, layer, x):
        """y = x * scale + offset as a 1x1 depthwise convolution."""
        scale, offset = scale_and_offset(layer, x.shape[-1])
        copy = self.copy_of(layer, lambda: _depthwise(layer.name))
        x = copy(x)
        copy.set_weights([np.reshape(scale, (1, 1, -1, 1)), offset])
        copy.trainable = layer.trainable and not isinstance(layer, Preprocessing)
        return x

    def depthwise(self, x, name: str, *, scale: float, offset: float = 0.0):
        """y = x * scale + offset with numbers that do not train."""
        layer = _depthwise(name)
        channels, x = x.shape[-1], layer(x)
        layer.set_weights([np.full((1, 1, channels, 1), scale), np.full(channels, offset)])
        layer.trainable = False
        return x

    def in_pairs(self, layer, values: list):
        """A sum or product of many as operators of two, as TFLite has them."""
        *pairs, last = values[1:]
        x = values[0]
        for i, value in enumerate(pairs):
            x = type(layer)(name=self.free_name(f"{layer.name}.{i}"), dtype="float32")([x, value])
            x = self.own_range(x, f"{layer.name}.{i}")
        return type(layer)(name=layer.name, dtype="float32")([x, last])

    def activated(self, function, x, name: str):
        """A function of each value; two of them consist of operators that are rounded singly."""
        self.names.add(name)
        kind = getattr(function, "__name__", None)
        if kind == "silu":
            gate_name = self.free_name(f"{name}.sigmoid")
            gate = layers.Activation("sigmoid", name=gate_name, dtype="float32")(x)
            gate = self.fixed(gate, FIXED["sigmoid"], name)
            return layers.Multiply(name=name, dtype="float32")([x, gate])
        if kind == "hard_sigmoid" and len(x.shape) == 4:
            # the rounding that follows cuts it off at 0 and 1
            return self.depthwise(x, name, scale=1 / 6, offset=0.5)
        return layers.Activation(function, name=name, dtype="float32")(x)


def _copied(layer):
    if not isinstance(layer, keras.layers.Layer):
        return layer  # an operation of keras.ops, which holds nothing
    return copy_of(layer, in_float32(config_of(layer)))


def _depthwise(name: str) -> QuantizedDepthwiseConv2D:
    return QuantizedDepthwiseConv2D(1, name=name, dtype="float32")


def _check_channels_last(layer):
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise ExportError(
            f"Integer files hold channels last. Received: layer {layer.name!r} with "
            f"data_format={layer.data_format!r}. Build the network with channels_last."
        )
