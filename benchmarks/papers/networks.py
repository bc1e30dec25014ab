"""Networks without the idea of a paper, or with another head: each function changes a network.

`keras_seg.training.train` calls one of them as its `rewrite`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import keras
from keras import KerasTensor, layers, ops

from keras_seg import blocks
from keras_seg.layers import MaxUnpooling2D, ObjectRegions, Resize
from keras_seg.models.danet import conv
from keras_seg.models.deeplabv3plus import aspp
from keras_seg.models.ocrnet import conv_norm_relu, object_context, object_regions
from keras_seg.models.variants import DeepLabV3PlusVariant

ENCODER_MAP = "head.conv5a.0"
"""Layer of DANet that reads the map of the encoder."""
RATES = (6, 12, 18)
DROPOUT = 0.1


@keras.saving.register_keras_serializable("keras_seg_papers")
class BilinearUnpooling(layers.Layer):
    """Bilinear up-sampling to the size of `like`, in the place of `MaxUnpooling2D`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.resize = Resize(name="resize")

    def call(self, x: Any, places: Any, like: Any, training: bool | None = None) -> Any:
        return self.resize(x, like=like)


@keras.saving.register_keras_serializable("keras_seg_papers")
class NoMessage(layers.Layer):
    """Replaces a map by zeros, so that the next layer learns nothing from it."""

    def call(self, x: Any, training: bool | None = None) -> Any:
        return ops.zeros_like(x)


def bilinear_upsampling(model: keras.Model) -> keras.Model:
    """A SegNet whose decoder ignores the places of the maxima."""
    return _with_layers(
        model,
        lambda layer: (
            BilinearUnpooling(name=layer.name) if isinstance(layer, MaxUnpooling2D) else None
        ),
    )


def without_interlinks(model: keras.Model) -> keras.Model:
    """An iCNN of form "theano" whose resolutions do not see each other before the final merge."""
    message = re.compile(r"row\d+_inter\d+\.(down|up)\.scale$")
    return _with_layers(
        model, lambda layer: NoMessage(name=layer.name) if message.match(layer.name) else None
    )


def _with_layers(
    model: keras.Model, replacement: Callable[[keras.Layer], keras.Layer | None]
) -> keras.Model:
    """A copy of a model, with its weights, in which some layers without weights are others."""
    replaced = []

    def clone(layer: keras.Layer) -> keras.Layer:
        other = replacement(layer)
        if other is None:
            return layer.__class__.from_config(layer.get_config())
        replaced.append(layer.name)
        return other

    copy = keras.models.clone_model(model, clone_function=clone)
    if not replaced:
        raise ValueError(f"No layer of {model.name!r} is of the kind that is to be replaced.")
    copy.set_weights(model.get_weights())
    return copy


def plain_head(model: keras.Model) -> keras.Model:
    """DANet without attention: two 3x3 convolutions, as a fully convolutional network has."""
    x = model.get_layer(ENCODER_MAP).input
    width = model.get_layer(ENCODER_MAP).filters
    x = conv(x, width, name="plain.conv1")
    x = conv(x, width, name="plain.conv2")
    return _scored(model, x)


def aspp_head(model: keras.Model) -> keras.Model:
    """The encoder of a DANet with atrous spatial pyramid pooling."""
    x = model.get_layer(ENCODER_MAP).input
    width = model.get_layer(ENCODER_MAP).filters
    x = aspp(x, width, RATES, variant=DeepLabV3PlusVariant(), dropout=0.0)
    return _scored(model, x)


def ocr_head(model: keras.Model) -> keras.Model:
    """The encoder of a DANet with object-contextual representations."""
    x = model.get_layer(ENCODER_MAP).input
    width = model.get_layer(ENCODER_MAP).filters
    classes = model.output.shape[-1]

    def transform(
        x: KerasTensor,
        filters: int,
        *,
        kernel: int = 1,
        use_bias: bool = False,
        name: str,
        norm_name: str,
    ) -> KerasTensor:
        return conv_norm_relu(
            x,
            filters,
            kernel=kernel,
            use_bias=use_bias,
            negative_slope=0.0,
            name=name,
            norm_name=norm_name,
        )

    regions = object_regions(x, classes, channels=width, kernel=3, dropout=0.0, transform=transform)
    pixels = transform(x, width, kernel=3, name="pixels.0", norm_name="pixels.1")
    objects = ObjectRegions(name="ocr_gather_head")(pixels, regions)
    context = object_context(pixels, objects, width // 2, transform=transform)
    x = layers.Concatenate(name="ocr.concat")([context, pixels])
    x = transform(x, width, name="ocr.mixed.0", norm_name="ocr.mixed.1")
    return _scored(model, x, aux=regions)


def _scored(model: keras.Model, x: KerasTensor, aux: KerasTensor | None = None) -> keras.Model:
    """A model from the image to scores of its size, with an auxiliary output if `aux` is given."""
    classes = model.output.shape[-1]
    x = layers.SpatialDropout2D(DROPOUT, name="scores.dropout")(x)
    scores = {"logits": blocks.classifier(x, classes, name="scores")}
    if aux is not None:
        scores["aux"] = aux
    outputs = {
        key: blocks.output_scores(
            Resize(name=f"{key}.upsample")(x, like=model.input), None, name=key
        )
        for key, x in scores.items()
    }
    return keras.Model(
        model.input, outputs if aux is not None else outputs["logits"], name=model.name
    )
