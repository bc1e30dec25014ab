"""Which pixels a given encoder takes: what its weights were trained with, as far as it shows."""

from __future__ import annotations

import re
import warnings
from typing import NamedTuple

import keras
from keras import layers

from keras_seg.layers import Preprocessing

NORMALISING = (layers.Rescaling, layers.Normalization, Preprocessing)
ARITHMETIC = ("Add", "Subtract", "Multiply", "Divide", "TrueDivide")
"""Names of the operations of which `preprocess_input` of Keras Applications consists."""


class Pixels(NamedTuple):
    """What the weights of an application of Keras take.

    Attributes:
        name: pattern of the model's name.
        layer: name of its first layer with weights.
        mode: its normalisation, see `Preprocessing`.
        bgr: whether blue comes first.
    """

    name: str
    layer: str
    mode: str
    bgr: bool = False


APPLICATIONS = (
    Pixels(r"resnet(50|101|152)$", "conv1_conv", "caffe", bgr=True),
    Pixels(r"vgg(16|19)$", "block1_conv1", "caffe", bgr=True),
    Pixels(r"resnet(50|101|152)v2$", "conv1_conv", "symmetric"),
    Pixels(r"mobilenet_\d", "conv1", "symmetric"),
    Pixels(r"mobilenetv2_\d", "Conv1", "symmetric"),
    Pixels(r"MobileNetV3(Small|Large)$", "conv", "symmetric"),
    Pixels(r"xception$", "block1_conv1", "symmetric"),
    Pixels(r"densenet(121|169|201)$", "conv1_conv", "imagenet"),
    Pixels(r"efficientnetv2-b\d$", "stem_conv", "imagenet"),
    Pixels(r"efficientnetv2-[sml]$", "stem_conv", "symmetric"),
)
"""Applications of Keras that do not normalise pixels themselves."""
DISTINCT_STEMS = {pixels.layer for pixels in APPLICATIONS} - {"conv", "conv1"}
"""Names of first layers that few other models have."""


def tell_of_application(backbone: keras.Model) -> None:
    """Warns if named maps of an application of Keras would get pixels of 0..255."""
    first = _first_layer(backbone)
    if first not in DISTINCT_STEMS or normalising_layer(backbone) is not None:
        return
    warnings.warn(
        f"The backbone {backbone.name!r} looks like a model of keras.applications, and gets pixels "
        "of 0 to 255 without normalisation. If its weights are trained, pass the model itself, "
        "backbone=keras.applications.ResNet50(include_top=False), whose pixels are known. If it "
        "takes 0 to 255, pass preprocessing=None.",
        stacklevel=4,
    )


def known_pixels(encoder: keras.Model, name: str, pixels: Pixels | None) -> str | None:
    """The preprocessing for "backbone"; ValueError if the model does not show what it takes."""
    if normalising_layer(encoder) is not None:
        return None
    if pixels is not None:
        return pixels.mode
    raise ValueError(
        f"Which pixels the backbone {name!r} takes is not known. Images have pixels of 0 to 255. "
        "Say what the network does with them: preprocessing='symmetric' (-1 to 1), 'unit' (0 to "
        "1), 'imagenet' (mean and deviation of ImageNet), 'caffe' (mean alone; RGB stays RGB), or "
        "None if the backbone takes 0 to 255."
    )


def pixels_of(encoder: keras.Model, name: str) -> Pixels | None:
    """The row of an application of Keras, by its name and its first layer with weights."""
    if normalising_layer(encoder) is not None:
        return None
    if any(isinstance(layer, layers.Lambda) for layer in encoder.layers):
        return None  # it may normalise
    first = _first_layer(encoder)
    for pixels in APPLICATIONS:
        if re.match(pixels.name, name) and pixels.layer == first:
            return pixels
    return None


def takes_bgr(encoder: keras.Model, preprocessing: str | None) -> bool:
    """Whether an application of Keras, under any name, takes blue first with this normalisation."""
    first = _first_layer(encoder)
    return any(
        each.bgr and each.mode == preprocessing and each.layer == first for each in APPLICATIONS
    )


def _first_layer(encoder: keras.Model) -> str | None:
    """The name of the first layer with weights."""
    return next((layer.name for layer in encoder.layers if layer.weights), None)


def normalising_layer(encoder: keras.Model) -> keras.Operation | None:
    """The layer or the operation by which a model normalises pixels itself.

    `preprocess_input` of Keras Applications and arithmetic on the image are operations.
    """
    for operation in encoder.operations:
        is_layer = isinstance(operation, keras.Layer)
        if isinstance(operation, NORMALISING):
            return operation
        if not is_layer and type(operation).__name__ in ARITHMETIC:
            return operation
        if is_layer and operation.weights:
            return None
    return None
