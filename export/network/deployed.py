"""The network rewritten for a device: static shape, batch 1, float32, one image in, one map out."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_seg.export.network.copies import (
    float32_copy,
    free_copy,
    in_float32,
    rebuilt,
    share_weights,
)
from keras_seg.export.network.dead_taps import without_dead_taps
from keras_seg.export.network.folding import scale_and_offset
from keras_seg.export.network.layer_rules import PER_CHANNEL, is_scale_and_offset
from keras_seg.export.network.plan import make_plan
from keras_seg.export.network.pooling_masks import MaskCalls, masks_in_place_of
from keras_seg.export.network.subpixel import with_subpixel_convolutions
from keras_seg.export.options import FREE, ExportOptions
from keras_seg.inference.keras_runner import first_output
from keras_seg.layers import FakeQuantize, LocalResponseNormalization, Preprocessing


def deploy(
    model: keras.Model, input_shape: tuple[int | None, int | None, int], options: ExportOptions
) -> keras.Model:
    """A copy of a network for the device, with the rewrites that are fastest in its kind of file.

    Weights that no rewrite changes are those of the network itself, not copies.

    Raises: ExportError if the network cannot be rebuilt at this size.
    """
    kind = options.kind
    rebuilt_model = deployed_model(
        model,
        input_shape,
        batch=None if options.batch == FREE else int(options.batch),
        norms_to_convolutions=kind.norms_to_convolutions,
        local_norm=_local_norm(model, options),
        pooling_masks=options.device.compares_by_masks or not kind.casts_to_uint8,
    )
    deployed = without_dead_taps(rebuilt_model)
    if not (options.subpixel and kind.largest_subpixel_kernel):
        return deployed
    # at a free size tf2onnx cuts and pads what a transposed convolution outputs
    return with_subpixel_convolutions(
        deployed,
        transposed=kind.subpixel_transposed or options.is_free,
        largest=kind.largest_subpixel_kernel,
    )


def deployed_model(
    model: keras.Model,
    input_shape: tuple[int | None, int | None, int],
    *,
    batch: int | None = 1,
    norms_to_convolutions: bool = False,
    local_norm: type[LocalResponseNormalization] = LocalResponseNormalization,
    pooling_masks: bool = False,
) -> keras.Model:
    """A network with the same weights, in the form that all exported files share.

    The shape is static with batch 1 by default: only then do dilated convolutions stay one operator
    in TFLite, and batch norms fold into them. Further training outputs are removed, everything is
    float32, and the normalisation is a 1x1 depthwise convolution, which is one fast operator in
    int8 where multiply and subtract are two slow ones.

    Args:
        input_shape: (height, width, channels), None for a free height or width.
        batch: number of images at once, None for any.
        norms_to_convolutions: also replaces batch norms that fold into no convolution by such
            convolutions. In integers, their products would be rounded in one range for all
            channels before the sum; a convolution has a scale per channel and rounds once.
        local_norm: the class of local response normalizations, which spells them for the device.
        pooling_masks: also replaces pooling indices by masks.

    Raises: ExportError if the network cannot be rebuilt at this size.
    """
    image = keras.Input(input_shape, batch_size=batch, name="image")
    static = batch == 1 and None not in input_shape
    unfolded = _unfolded_norms(model) if norms_to_convolutions else set()

    def copy(layer: keras.Layer) -> keras.Layer:
        if isinstance(layer, Preprocessing) or id(layer) in unfolded:
            return _ScaleAndOffset(1, name=layer.name, dtype="float32")
        if type(layer) is LocalResponseNormalization:
            return local_norm.from_config(in_float32(layer.get_config()))
        masked = masks_in_place_of(layer) if pooling_masks else None
        return masked or (float32_copy(layer) if static else free_copy(layer))

    return rebuilt(model, image, copy, _copy_weights, MaskCalls() if pooling_masks else None)


def float32_model(model: keras.Model) -> keras.Model:
    """The network that an exported file must equal: `model` itself, or its copy in float32."""
    if all(layer.compute_dtype == "float32" for layer in model._flatten_layers()):
        return model
    image = keras.Input(model.inputs[0].shape[1:], name="image")
    return rebuilt(model, image, float32_copy, _copy_weights)


class _ScaleAndOffset(keras.layers.DepthwiseConv2D):
    """A 1x1 depthwise convolution that can be called like a batch norm."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        return super().call(inputs)


class _IntegerNormalization(LocalResponseNormalization):
    """The normalization in operators that have an integer form in every runtime.

    SQUARE, and in TFLite Micro EXP and LOG, have none, so squares are products, and x * p^-3/4 is
    x * p^-1/2 * p^-1/4 with reciprocal roots.
    """

    def square(self, x: Any) -> Any:
        return x * x

    def normalized(self, x: Any, power: Any) -> Any:
        if self.beta != 0.75:
            return super().normalized(x, power)
        root = tf.math.rsqrt(power)
        return (x * root) * tf.math.rsqrt(power * root)


def _local_norm(model: keras.Model, options: ExportOptions) -> type[LocalResponseNormalization]:
    """The class of local response normalizations in a kind of file."""
    has_ranges = any(isinstance(layer, FakeQuantize) for layer in model.layers)
    if has_ranges or not options.kind.squares_as_products:  # they stay float among trained ranges
        return LocalResponseNormalization
    return _IntegerNormalization


def _unfolded_norms(model: keras.Model) -> set[int]:
    """ids of the layers y = x * scale + offset that fold into no convolution."""
    bare = keras.Model(model.inputs, first_output(model.output))
    plan = make_plan(bare)
    folding = set(map(id, plan.folds.values()))
    return {
        id(call.operation)
        for call in plan.calls
        if is_scale_and_offset(call.operation)
        and id(call.operation) not in folding
        and all(len(x.shape) == 4 for x in keras.tree.flatten(call.operation.output))
    }


def _copy_weights(source: keras.Layer, target: keras.Layer) -> None:
    if isinstance(source, PER_CHANNEL) and isinstance(target, _ScaleAndOffset):
        kernel, bias = target.kernel, target.bias
        scale, offset = scale_and_offset(source, bias.shape[0])
        kernel.assign(np.reshape(scale, kernel.shape))
        bias.assign(offset)
    elif isinstance(source, keras.Layer) and source.weights:
        share_weights(target, source)
