"""Copies of layers and of whole networks, in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seg.export.errors import ExportError
from keras_seg.inference.keras_runner import first_output
from keras_seg.layers.quantized_convolutions import RoundedKernel
from keras_seg.weights import set_weights

REDUCED = {"float16", "bfloat16", "mixed_float16", "mixed_bfloat16"}
"""Names of the dtype policies that a copy replaces by float32."""
OWN_WEIGHTS = (keras.layers.Normalization, RoundedKernel)
"""Layers that derive values from their weights, or round them for the converter."""


def copy_of(layer: keras.layers.Layer, config: dict[str, Any]) -> keras.layers.Layer:
    """A layer of the same class with another configuration, without weights.

    Raises: ExportError for a class whose `get_config` does not fit its `__init__`.
    """
    try:
        return type(layer).from_config(config)
    except (NotImplementedError, TypeError) as error:
        raise ExportError(
            f"The layer {layer.name!r} ({type(layer).__name__}) cannot be copied: {error} It "
            "needs a get_config with all arguments of its __init__, which takes **kwargs."
        ) from error


def config_of(layer: keras.layers.Layer) -> dict[str, Any]:
    """The configuration of a layer; ExportError for a class without one."""
    try:
        return layer.get_config()
    except NotImplementedError as error:
        raise ExportError(
            f"The layer {layer.name!r} ({type(layer).__name__}) cannot be copied: {error}"
        ) from error


def in_float32(config: Any) -> Any:
    """A configuration in which every reduced precision, however deep, is replaced by float32."""
    if isinstance(config, dict):
        return {key: in_float32(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(in_float32(value) for value in config)
    return "float32" if isinstance(config, str) and config in REDUCED else config


def float32_copy(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A float32 layer of the same class, or of one that the converters write as one operator."""
    grouped = type(layer) is keras.layers.Conv2D and layer.groups > 1
    kind = _GroupedConv2D if grouped and layer.data_format == "channels_last" else type(layer)
    return kind.from_config(in_float32(layer.get_config()))


def free_copy(layer: keras.layers.Layer) -> keras.layers.Layer:
    """As `float32_copy`, with dilated convolutions that are one operator at a free size, too.

    TensorFlow splits an image of free size or batch for them, and joins the parts again.
    """
    kinds = {keras.layers.Conv2D: _GroupedConv2D, keras.layers.DepthwiseConv2D: _DilatedDepthwise}
    is_dilated = type(layer) in kinds and tuple(layer.dilation_rate) != (1, 1)
    if not is_dilated or layer.data_format != "channels_last":
        return float32_copy(layer)
    return kinds[type(layer)].from_config(in_float32(layer.get_config()))


def share_weights(target: keras.Layer, source: keras.Layer) -> None:
    """Gives a layer the weights of another, which has the same ones, in float32.

    The two layers then compute with the same variables, which saves the memory of a copy, so the
    weights of neither may change afterwards. They are copied where the types differ, and for
    `OWN_WEIGHTS`.
    """
    pairs = list(zip(target.weights, source.weights, strict=True))
    owns = any(isinstance(layer, OWN_WEIGHTS) for layer in target._flatten_layers())
    if owns or any(not _can_share(*pair) for pair in pairs):
        set_weights(target, [np.asarray(value, np.float32) for value in source.get_weights()])
        return
    for ours, theirs in pairs:
        ours._value = theirs._value


def _can_share(ours: keras.Variable, theirs: keras.Variable) -> bool:
    """Whether two variables hold the same kind of numbers."""
    types = {ours.dtype, theirs.dtype}
    return types == {"float32"} and tuple(ours.shape) == tuple(theirs.shape)


class _DilatedDepthwise(keras.layers.DepthwiseConv2D):
    """A dilated depthwise convolution as one operator, which runs in no TensorFlow on a CPU."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        strides, rates = tf.nest.flatten(self.strides), tf.nest.flatten(self.dilation_rate)
        outputs = tf.raw_ops.DepthwiseConv2dNative(
            input=inputs,
            filter=self.kernel,
            strides=[1, *strides, 1],
            padding=self.padding.upper(),
            dilations=[1, *rates, 1],
        )
        return self.activation(outputs + self.bias if self.use_bias else outputs)


class _GroupedConv2D(keras.layers.Conv2D):
    """A grouped convolution as one operator; Keras calls a function that XLA compiles."""

    def convolution_op(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        options = {"padding": self.padding.upper(), "dilations": self.dilation_rate}
        return tf.nn.conv2d(inputs, kernel, self.strides, **options)


def rebuilt(
    model: keras.Model,
    image: keras.KerasTensor,
    copy: Callable[[keras.layers.Layer], keras.layers.Layer],
    copy_weights: Callable[[keras.layers.Layer, keras.layers.Layer], None],
    call: Callable[..., Any] | None = None,
) -> keras.Model:
    """A copy of a network for another image, with the first of its outputs.

    Args:
        copy: layer → its copy, without weights.
        copy_weights: gives a copy the weights of its layer.
        call: (copy, arguments) → its outputs; None for a plain call.

    Raises: ExportError if the network cannot take the image.
    """
    # a separate model, not compiled, so that unregistered losses and metrics do not matter
    bare = keras.Model(model.inputs, first_output(model.output))
    pairs = []

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        pairs.append((layer, copy(layer)))
        return pairs[-1][1]

    inputs = keras.tree.map_structure(lambda _: image, bare.input)
    try:
        network = keras.models.clone_model(
            bare,
            input_tensors=inputs,
            clone_function=clone,
            call_function=call,
            recursive=True,
        )
    except (ValueError, TypeError, NotImplementedError) as error:
        raise ExportError(
            f"The network cannot be rebuilt for images of {image.shape[1:]}: {error} "
            "It must take that size, and each of its layers needs a get_config with all arguments "
            "of its __init__."
        ) from error
    for source, target in pairs:
        copy_weights(source, target)
    return network
