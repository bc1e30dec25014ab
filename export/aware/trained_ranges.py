"""Detects, freezes and writes the trained ranges of a quantization-aware network."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import keras
import tensorflow as tf

from keras_seg.export.errors import ExportError
from keras_seg.export.network.layer_rules import FIXED, stays_float
from keras_seg.layers import FakeQuantize
from keras_seg.layers.quantized_convolutions import RoundedKernel
from keras_seg.models import files

DAMAGE = (*files.DAMAGE, KeyError, TypeError)
"""Errors from reading a configuration that is not a functional model's."""
NEVER_USED = (0.0, 1.0)
"""Range of a tensor that was zero in all of the training."""


def is_quantization_aware(model: keras.Model) -> bool:
    """Whether a model comes from `quantization_aware`, also after saving and loading."""
    return any(isinstance(layer, FakeQuantize) for layer in model.layers)


def has_trained_ranges(model: keras.Model | str | Path) -> bool:
    """Whether a model, or the model in a .keras file, comes from `quantization_aware`.

    A file is not loaded for this. A file that is not a .keras file counts as False; opening it
    later reports what is wrong.
    """
    if isinstance(model, keras.Model):
        return is_quantization_aware(model)
    if not zipfile.is_zipfile(model):
        return False
    with zipfile.ZipFile(model) as archive:
        if "config.json" not in archive.namelist():
            return False
        try:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
            return any(layer["class_name"] == FakeQuantize.__name__ for layer in layers)
        except DAMAGE:  # or a model without a list of layers
            return False


def freeze_ranges(model: keras.Model) -> None:
    """Makes the ranges and kernels of a deployed copy constants, which the converter can read.

    Raises: ExportError for a model that was not trained since it became quantization-aware.
    """
    measured = [x for x in model.layers if isinstance(x, FakeQuantize) and x.fixed is None]
    if measured and all(layer.range() is None for layer in measured):
        raise ExportError(
            f"No range of the quantization-aware model {model.name!r} is known yet. Train it for "
            "at least one step, with model.fit, and then export it."
        )
    for layer in measured:
        layer.fixed = layer.range() or NEVER_USED
    for layer in model.layers:
        if isinstance(layer, RoundedKernel):
            layer.settle()


def with_rounded_head(
    function: tf.types.experimental.GenericFunction, head: str
) -> tf.types.experimental.GenericFunction:
    """The function to convert, with probabilities rounded in the range that TFLite prescribes."""
    if head != "probabilities":
        return function

    @tf.function
    def rounded(image: tf.Tensor) -> dict[str, tf.Tensor]:
        bounds = FIXED["softmax"]
        return {
            name: tf.quantization.fake_quant_with_min_max_args(scores, *bounds)
            for name, scores in function(image).items()
        }

    return rounded


def float_layers(model: keras.Model) -> list[str]:
    """Names of the layers of a quantization-aware model that its int8 file computes in float.

    Example:
        aware = keras_seg.export.quantization_aware(model)
        print(keras_seg.export.float_layers(aware))
    """
    return [layer.name for layer in model.layers if stays_float(layer)]


def unexpected_islands(islands: tuple[str, ...], model: keras.Model) -> tuple[str, ...]:
    """The float operators of a file that come from layers which should be integers."""
    names = float_layers(model) if is_quantization_aware(model) else []
    return tuple(island for island in islands if not any(f"/{name}" in island for name in names))
