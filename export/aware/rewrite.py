"""Quantization-aware training for Keras 3: the network computes with the roundings of its file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_seg.backends import need_tensorflow_backend
from keras_seg.export.aware.trained_ranges import is_quantization_aware
from keras_seg.export.errors import ExportError
from keras_seg.export.network.copies import config_of, copy_of, in_float32
from keras_seg.export.network.folding import folded, scale_and_offset
from keras_seg.export.network.layer_rules import (
    CONVOLUTIONS,
    DROPOUTS,
    FIXED,
    is_scale_and_offset,
)
from keras_seg.export.network.plan import LayerCall, make_plan
from keras_seg.export.network.subpixel import with_subpixel_convolutions
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

    Fine-tuned for a few epochs at a tenth to a hundredth of the learning rate, it recovers the
    accuracy that rounding costs. The copy is an ordinary functional model: it trains, saves and
    loads as `.keras`, and takes the images and masks of the original. `export` recognises it and
    writes the trained ranges as the scales of the file.

    Shapes: as the original, (B, H, W, C) pixels in 0..255 → (B, H, W, num_classes).

    Example:
        aware = keras_seg.export.quantization_aware(model)
        aware.compile(keras.optimizers.Adam(1e-4), loss)
        aware.fit(images, masks, epochs=3)
        keras_seg.export.export(aware, "model.tflite", quantize="int8")  # needs no calibration

    Args:
        model: a trained network: functional, Sequential, or subclassed of Keras layers. It is not
            changed.
        momentum: share of the old extremes of a range that a training step keeps. The first batch
            sets them, so one step is enough to have ranges.
        subpixel: as in `ExportOptions`, for the file; the copy trains in that form.

    The rules are those of TFLite's integer kernels:

    - Kernels: 255 steps about zero, with one step size per output channel, also in depthwise and
      transposed convolutions.
    - Tensors: 256 steps, with one range per tensor, after the ReLU that fuses into an operator.
      Layers that pool, resize, pad or unpool a map keep its range. A concatenation shares one range
      with its inputs, except inputs that other layers read, too: the common range would be too
      coarse for these, so the file converts them by one operator. The image has the range 0..255, a
      sigmoid and a tanh the ranges that TFLite prescribes.
    - Batch norm folds into the convolution before it, permanently and with its moving statistics:
      the copy has a kernel and a bias instead. With batch statistics, training would compute
      something different from the file, and batches are too small for good statistics in
      segmentation. Batch norms that follow no convolution become 1x1 depthwise convolutions, as the
      normalisation of the image does. That loses nothing: a kernel of one weight per channel is
      rounded without error.
    - Dropout is removed. Its outputs are larger than any that the file will see, and would widen
      the ranges.
    - Softmax attention, local response normalisation and other layers that consist of several
      operators stay float, because their inner tensors have no ranges; `float_layers` names them.
    - Everything is float32, also for a model in mixed precision.

    Raises: ExportError for a subclassed model whose `call` cannot be followed, or a model that
        takes several images or keeps channels first; ValueError for one that is quantization-aware
        already.

    Source: Jacob et al., CVPR 2018, arXiv:1712.05877, which folds with the statistics of the batch
    and freezes them later; Krishnamoorthi, arXiv:1806.08342, for a step size per channel.
    """
    need_tensorflow_backend("Quantization-aware copies")
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
    return _RoundingCopy(model, momentum).build()


class _RoundingCopy:
    """Builds the quantization-aware copy of one model, call by call."""

    def __init__(self, model: keras.Model, momentum: float):
        self.model, self.momentum, self.plan = model, momentum, make_plan(model)
        self.copies: dict[int, keras.layers.Layer] = {}
        self.ranges: dict[int, FakeQuantize] = {}
        self.names: set[str] = set()

    def build(self) -> keras.Model:
        plan = self.plan
        image = keras.Input(self.model.inputs[0].shape[1:], name=self.model.inputs[0].name)
        tensors = {plan.image: self.rounded(plan.image, image, "image")}
        norms = set(map(id, plan.folds.values()))
        for call in plan.calls:
            if id(call.operation) in norms:  # folded into the convolution already
                outputs = [tensors[call.values[0]]]
            else:
                outputs = keras.tree.flatten(self.as_in_file(call, tensors))
            for number, x in zip(call.outputs, outputs, strict=True):
                tensors[number] = self.rounded(number, x, call.operation.name)
        outputs = [tensors[number] for number in plan.outputs]
        output = keras.tree.pack_sequence_as(self.model.output, outputs)
        return keras.Model(image, output, name=self.model.name)

    def rounded(self, number: int, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """The tensor with that number, rounded as in the integer file."""
        group = self.plan.group.get(number)
        if group is None:
            return x
        if group in self.plan.prescribed:
            return self.fixed(x, self.plan.prescribed[group], name)
        members = self.plan.members[group]
        member = members.index(number) if number in members else None
        return self.group_range(group, name)(x, member=member)

    def fixed(
        self, x: keras.KerasTensor, bounds: tuple[float, float], name: str
    ) -> keras.KerasTensor:
        """Rounds a tensor in a prescribed range."""
        name = self.free_name(f"{name}.fixed_range")
        return FakeQuantize(fixed=bounds, name=name, dtype="float32")(x)

    def own_range(self, x: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Rounds a tensor that the original network does not have."""
        name = self.free_name(f"{name}.range")
        return FakeQuantize(momentum=self.momentum, name=name, dtype="float32")(x, member=0)

    def group_range(self, group: int, name: str) -> FakeQuantize:
        """The layer that all tensors of a group share, named after the first of them."""
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

    def as_in_file(self, call: LayerCall, tensors: dict[int, keras.KerasTensor]) -> Any:
        """The outputs of a layer, computed as in the integer file but before the last rounding."""
        layer, values = call.operation, [tensors[number] for number in call.values]
        if isinstance(layer, DROPOUTS):
            return values[0]
        if isinstance(layer, CONVOLUTIONS):
            return self.convolution(layer, self.plan.folds.get(call.outputs[0]), values[0])
        if is_scale_and_offset(layer) and len(values[0].shape) == 4:
            return self.per_channel(layer, values[0])
        if isinstance(layer, ScaleBreak):  # the converter would merge two roundings in a row
            return self.depthwise(values[0], layer.name, scale=1.0)
        if isinstance(layer, (layers.Add, layers.Multiply)) and len(values) > 2:
            return self.in_pairs(layer, values)
        if isinstance(layer, layers.Activation):
            return self.activated(layer.activation, values[0], layer.name)
        args, kwargs = call.arguments.fill_in({key: tensors[n] for key, n in call.inputs.items()})
        copy = self.copy_of(layer, lambda: _copied(layer))
        outputs = copy(*args, **kwargs)
        if isinstance(layer, keras.layers.Layer) and layer.weights:
            set_weights(copy, [np.asarray(value, np.float32) for value in layer.get_weights()])
        return outputs

    def copy_of(
        self, layer: keras.Operation, make: Callable[[], keras.Operation]
    ) -> keras.Operation:
        """The copy of a layer. It is made once, even if the layer is called several times."""
        if id(layer) not in self.copies:
            self.copies[id(layer)] = make()
            self.names.add(layer.name)
        return self.copies[id(layer)]

    def convolution(
        self, layer: layers.Layer, norm: layers.BatchNormalization | None, x: keras.KerasTensor
    ) -> keras.KerasTensor:
        """A convolution with its batch norm and its activation."""
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

    def per_channel(self, layer: layers.Layer, x: keras.KerasTensor) -> keras.KerasTensor:
        """y = x * scale + offset as a 1x1 depthwise convolution."""
        scale, offset = scale_and_offset(layer, x.shape[-1])
        copy = self.copy_of(layer, lambda: _depthwise(layer.name))
        x = copy(x)
        copy.set_weights([np.reshape(scale, (1, 1, -1, 1)), offset])
        copy.trainable = layer.trainable and not isinstance(layer, Preprocessing)
        return x

    def depthwise(
        self, x: keras.KerasTensor, name: str, *, scale: float, offset: float = 0.0
    ) -> keras.KerasTensor:
        """y = x * scale + offset with numbers that are not trained."""
        layer = _depthwise(name)
        channels, x = x.shape[-1], layer(x)
        layer.set_weights([np.full((1, 1, channels, 1), scale), np.full(channels, offset)])
        layer.trainable = False
        return x

    def in_pairs(self, layer: layers.Layer, values: list[keras.KerasTensor]) -> keras.KerasTensor:
        """A sum or product of many maps as operators on two, as in TFLite."""
        *pairs, last = values[1:]
        x = values[0]
        for i, value in enumerate(pairs):
            x = type(layer)(name=self.free_name(f"{layer.name}.{i}"), dtype="float32")([x, value])
            x = self.own_range(x, f"{layer.name}.{i}")
        return type(layer)(name=layer.name, dtype="float32")([x, last])

    def activated(
        self, function: Callable[[Any], Any], x: keras.KerasTensor, name: str
    ) -> keras.KerasTensor:
        """An activation. Two of them consist of several operators, each of which is rounded."""
        self.names.add(name)
        kind = getattr(function, "__name__", None)
        if kind == "silu":
            gate_name = self.free_name(f"{name}.sigmoid")
            gate = layers.Activation("sigmoid", name=gate_name, dtype="float32")(x)
            gate = self.fixed(gate, FIXED["sigmoid"], name)
            return layers.Multiply(name=name, dtype="float32")([x, gate])
        if kind == "hard_sigmoid" and len(x.shape) == 4:
            # the rounding that follows clips it to 0..1
            return self.depthwise(x, name, scale=1 / 6, offset=0.5)
        return layers.Activation(function, name=name, dtype="float32")(x)


def _copied(layer: keras.Operation) -> keras.Operation:
    if not isinstance(layer, keras.layers.Layer):
        return layer  # an operation of keras.ops, which has no weights
    return copy_of(layer, in_float32(config_of(layer)))


def _depthwise(name: str) -> QuantizedDepthwiseConv2D:
    return QuantizedDepthwiseConv2D(1, name=name, dtype="float32")


def _check_channels_last(layer: layers.Layer) -> None:
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise ExportError(
            f"Integer files have channels last. Received: layer {layer.name!r} with "
            f"data_format={layer.data_format!r}. Build the network with channels_last."
        )
