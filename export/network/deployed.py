"""The graph that goes to the device: static shape, batch 1, float32, one image in, one map out."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from keras_seg.export.errors import ExportError
from keras_seg.export.network.dead_taps import without_dead_taps
from keras_seg.export.network.folding import scale_and_offset
from keras_seg.export.network.fused_argmax import coarse_scores, repeated
from keras_seg.export.network.layer_rules import PER_CHANNEL, by_channel
from keras_seg.export.network.plan import make_plan
from keras_seg.export.network.subpixel import with_subpixel_convolutions
from keras_seg.export.options import CALIBRATED, HEADS, Request
from keras_seg.inference.keras_runner import first_output
from keras_seg.layers import Preprocessing
from keras_seg.weights import set_weights

REDUCED = {"float16", "bfloat16", "mixed_float16", "mixed_bfloat16"}
"""Names of the policies that a deployed network leaves behind."""
ANY_SIZE = 99
"""Larger than any kernel."""


def model_of_file(
    model: keras.Model, input_shape: tuple[int, int, int], request: Request
) -> keras.Model:
    """A network for the device, see `deployed_model`, as what runs such a file is fastest at it."""
    integers = request.quantize in CALIBRATED
    deployed = without_dead_taps(
        deployed_model(
            model, input_shape, norms_to_convolutions=request.format == "onnx" or integers
        )
    )
    has_squares = request.quantize != "int16x8"  # TFLite has no depth-to-space of 16 bits
    if not (request.subpixel and has_squares):
        return deployed
    # ONNX Runtime's transposed convolution is the faster one in float: 0.94 of the time in U-Net++
    transposed = request.format == "tflite" or integers
    largest = 3 if integers else ANY_SIZE
    return with_subpixel_convolutions(deployed, transposed=transposed, largest=largest)


def deployed_model(
    model: keras.Model, input_shape: tuple[int, int, int], *, norms_to_convolutions: bool = False
) -> keras.Model:
    """A copy of a network for the device, with the same weights.

    It has a static shape with batch 1: only then do dilated convolutions stay one operator, and
    batch norms fold into them. Further training outputs are gone, everything is float32, and the
    normalisation is a 1x1 depthwise convolution, which is one fast operator in int8 where multiply
    and subtract are two slow ones.

    Args:
        norms_to_convolutions: also makes batch norms that no convolution takes in such
            convolutions. In integers their products, each channel with a range of its own, would
            be rounded in one range before the sum, where a convolution has a scale a channel and
            rounds once; ONNX Runtime computes them faster in float, too, and XNNPACK does not.

    Raises: ExportError if the network cannot be rebuilt at this size.
    """
    image = keras.Input(input_shape, batch_size=1, name="image")
    alone = _lonely_norms(model) if norms_to_convolutions else set()

    def copy(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, Preprocessing) or id(layer) in alone:
            return _ScaleAndOffset(1, name=layer.name, dtype="float32")
        return _copied(layer)

    return _rebuilt(model, image, copy)


def float32_model(model: keras.Model) -> keras.Model:
    """The network that an exported file must equal: `model` itself, or its copy in float32."""
    if all(layer.compute_dtype == "float32" for layer in model._flatten_layers()):
        return model
    image = keras.Input(model.inputs[0].shape[1:], name="image")
    return _rebuilt(model, image, _copied)


def deployed_function(
    model: keras.Model,
    input_dtype: str,
    head: str,
    from_logits: bool = True,
    class_dtype: str = "uint8",
    *,
    multi_label: bool = False,
) -> tuple[tf.types.experimental.GenericFunction, tf.TensorSpec]:
    """The function to convert and the TensorSpec of its image.

    Shapes: (1, H, W, C) pixels in 0..255 → {name: output}: "logits" or "probabilities"
    (1, H, W, num_classes) float32, or "classes" (1, H, W) in `class_dtype`.

    Args:
        from_logits: False for a network that ends in probabilities.
        multi_label: whether each channel is a label of its own, for a sigmoid.
    """
    shape, grid = model.inputs[0].shape, None
    if head == "fused_argmax":
        cut = coarse_scores(model, from_logits)
        model, grid, from_logits = cut.model, cut.grid, cut.from_logits

    @tf.function
    def deploy(image):
        scores = first_output(model(tf.cast(image, tf.float32), training=False))
        words = (from_logits, class_dtype, multi_label)
        output = _with_head(scores, "argmax" if grid else head, *words)
        return {HEADS[head]: repeated(output, shape[1:3], grid) if grid else output}

    return deploy, tf.TensorSpec(shape, input_dtype, name="image")


def _with_head(
    scores: tf.Tensor, head: str, from_logits: bool, class_dtype: str, multi_label: bool
) -> tf.Tensor:
    binary = scores.shape[-1] == 1
    if head == "argmax" and binary:
        return tf.cast(scores[..., 0] > (0.0 if from_logits else 0.5), class_dtype)
    if head == "argmax":
        # int32 first: half the memory of int64, and TFLite has no argmax to uint8
        return tf.cast(tf.argmax(scores, -1, output_type=tf.int32), class_dtype)
    if head == "probabilities" and from_logits:
        return tf.sigmoid(scores) if binary or multi_label else tf.nn.softmax(scores)
    return scores


def _rebuilt(
    model: keras.Model, image: keras.KerasTensor, copy: Callable[[keras.Layer], keras.Layer]
) -> keras.Model:
    # a model of its own, not compiled, so that unregistered losses and metrics do not matter
    bare = keras.Model(model.inputs, first_output(model.output))
    pairs = []

    def clone(layer):
        pairs.append((layer, copy(layer)))
        return pairs[-1][1]

    inputs = keras.tree.map_structure(lambda _: image, bare.input)
    try:
        rebuilt = keras.models.clone_model(
            bare, input_tensors=inputs, clone_function=clone, recursive=True
        )
    except (ValueError, TypeError, NotImplementedError) as error:
        raise ExportError(
            f"The network cannot be rebuilt for images of {image.shape[1:]}: {error} "
            "It must take that size, and each of its layers needs a get_config with all arguments "
            "of its __init__."
        ) from error
    for source, target in pairs:
        _copy_weights(source, target)
    return rebuilt


def _copied(layer: keras.Layer) -> keras.Layer:
    grouped = type(layer) is keras.layers.Conv2D and layer.groups > 1
    kind = _GroupedConv2D if grouped and layer.data_format == "channels_last" else type(layer)
    return kind.from_config(in_float32(layer.get_config()))


class _GroupedConv2D(keras.layers.Conv2D):
    """A grouped convolution as one operator, where Keras calls a function that XLA compiles."""

    def convolution_op(self, inputs, kernel):
        words = {"padding": self.padding.upper(), "dilations": self.dilation_rate}
        return tf.nn.conv2d(inputs, kernel, self.strides, **words)


class _ScaleAndOffset(keras.layers.DepthwiseConv2D):
    """A 1x1 depthwise convolution that is called as a batch norm."""

    def call(self, inputs, training=None, mask=None):
        return super().call(inputs)


def _lonely_norms(model: keras.Model) -> set[int]:
    """ids of the layers of one scale and offset a channel that fold into no convolution."""
    bare = keras.Model(model.inputs, first_output(model.output))
    plan = make_plan(bare)
    folding = set(map(id, plan.folds.values()))
    return {
        id(step.operation)
        for step in plan.steps
        if by_channel(step.operation)
        and id(step.operation) not in folding
        and all(len(x.shape) == 4 for x in keras.tree.flatten(step.operation.output))
    }


def _copy_weights(source: keras.Layer, target: keras.Layer):
    if isinstance(source, PER_CHANNEL) and isinstance(target, _ScaleAndOffset):
        kernel, bias = target.kernel, target.bias
        scale, offset = scale_and_offset(source, bias.shape[0])
        kernel.assign(np.reshape(scale, kernel.shape))
        bias.assign(offset)
    elif isinstance(source, keras.Layer) and source.weights:
        set_weights(target, [np.asarray(value, np.float32) for value in source.get_weights()])


def in_float32(config):
    """A layer's configuration with every reduced precision in it, however deep, made float32."""
    if isinstance(config, dict):
        return {key: in_float32(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(in_float32(value) for value in config)
    return "float32" if isinstance(config, str) and config in REDUCED else config
