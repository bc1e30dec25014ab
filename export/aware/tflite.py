"""A quantization-aware network as an integer .tflite file with the ranges of its training."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_seg.export.errors import ExportError
from keras_seg.export.network.layer_rules import FIXED, stays_float
from keras_seg.export.trained_ranges import is_quantization_aware
from keras_seg.layers import FakeQuantize
from keras_seg.layers.quantized_convolutions import RoundedKernel

NEVER_USED = (0.0, 1.0)
"""Range of a tensor that was zero in all of the training."""


def settle(model: keras.Model) -> None:
    """Makes the ranges and kernels of a deployed copy constants, which the converter can read.

    Raises: ExportError for a model that was not trained since it became quantization-aware.
    """
    measured = [x for x in model.layers if isinstance(x, FakeQuantize) and x.fixed is None]
    if measured and all(layer.range() is None for layer in measured):
        raise ExportError(
            f"No range of the quantization-aware model {model.name!r} is known yet. Train it for "
            "at least one step, with model.fit, and export then."
        )
    for layer in measured:
        layer.fixed = layer.range() or NEVER_USED
    for layer in model.layers:
        if isinstance(layer, RoundedKernel):
            layer.settle()


def with_rounded_head(function, head: str):
    """A deployed function whose probabilities are rounded in the range that TFLite prescribes."""
    if head != "probabilities":
        return function

    @tf.function
    def rounded(image):
        bounds = FIXED["softmax"]
        return {
            name: tf.quantization.fake_quant_with_min_max_args(scores, *bounds)
            for name, scores in function(image).items()
        }

    return rounded


def float_layers(model: keras.Model) -> list[str]:
    """Names of the layers of a quantization-aware model that its file computes in float."""
    return [layer.name for layer in model.layers if stays_float(layer)]


def unexpected_islands(islands: tuple[str, ...], model: keras.Model) -> tuple[str, ...]:
    """The float operators of a file that do not come from a layer which is known to stay float."""
    names = float_layers(model) if is_quantization_aware(model) else []
    return tuple(island for island in islands if not any(f"/{name}" in island for name in names))
