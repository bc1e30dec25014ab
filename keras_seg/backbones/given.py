"""Encoders that a caller gives as a model: of its own, of Keras Applications, or of keras-hub."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import keras
from keras import KerasTensor, layers

from keras_seg.backbones.applications import UNPADDED_STEM
from keras_seg.backbones.build import build
from keras_seg.backbones.dilation import dilate, maps_by_stride, stride_of
from keras_seg.backbones.given_pixels import (
    known_pixels,
    normalising_layer,
    pixels_of,
    takes_bgr,
    tell_of_application,
)
from keras_seg.backbones.table import find
from keras_seg.blocks import image_input
from keras_seg.weights import set_weights

STRIDES = (2, 4, 8, 16, 32)
PROBE = 256
"""Height and width at which the maps of an encoder of free size are measured, in pixels."""
FORMS = (
    'a name of keras_seg.backbones.list_backbones(), such as backbone="resnet50"; a functional '
    "model, such as backbone=keras.applications.ResNet50(include_top=False); a backbone of "
    "keras-hub with pyramid_outputs; or a keras.Model(image, {"
    '"stride_4": ..., "stride_32": ...})'
)


@runtime_checkable
class PyramidBackbone(Protocol):
    """An encoder with maps by level, as those of keras-hub: {"P2": ..., ..., "P5": ...}.

    Level n has stride 2^n.
    """

    @property
    def pyramid_outputs(self) -> Mapping[str, KerasTensor]: ...


def encoder_of(
    backbone: str | keras.Model | PyramidBackbone,
    input_shape: tuple[int | None, int | None, int],
    *,
    preprocessing: str | None,
    output_stride: int = 32,
    weights: str | Path | Mapping | None = None,
    **options: Any,
) -> keras.Model:
    """The encoder of a network: built by its name, or made from a model.

    A model whose output is a dict of maps "stride_2", ..., "stride_32" is used as it is, with a
    warning if its pixels seem to need normalisation. Any other
    model is copied with its weights, since its image and its strides may change.

    Args:
        backbone: a name; or a model, see `FORMS`.
        input_shape: (height, width, channels) of the image. A model of fixed size keeps its own.
        preprocessing: "backbone" for what the encoder's weights were trained with; a mode of
            `Preprocessing`; None for pixels that stay as they are.
        output_stride, weights, options: of an encoder by name, see `build`. `output_stride` is also
            that of a copied model.

    Returns: a functional model from the image to its maps {"stride_2": ..., ...}.

    Raises: ValueError for a model without maps, for one whose pixels are not known, and as `build`.
    """
    if isinstance(backbone, str):
        if preprocessing == "backbone":
            preprocessing = find(backbone).preprocessing
        return build(
            backbone,
            input_shape,
            output_stride=output_stride,
            weights=weights,
            preprocessing=preprocessing,
            **options,
        )
    if options:
        raise ValueError(
            f"backbone_options are for a backbone by name. Received: {options} with a model. Build "
            "the model with them, or pass its name."
        )
    if _has_named_maps(backbone):
        if preprocessing == "backbone":
            tell_of_application(backbone)
        if preprocessing in (None, "backbone"):
            return backbone
        return _copied(backbone, input_shape, preprocessing, bgr=takes_bgr(backbone, preprocessing))
    return _from_model(backbone, input_shape, preprocessing, output_stride)


def _has_named_maps(backbone: object) -> bool:
    output = getattr(backbone, "output", None)
    return isinstance(output, Mapping) and any(f"stride_{s}" in output for s in STRIDES)


def _from_model(
    backbone: keras.Model | PyramidBackbone,
    input_shape: tuple[int | None, int | None, int],
    preprocessing: str | None,
    output_stride: int,
) -> keras.Model:
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride must be 8, 16 or 32. Received: {output_stride}")
    name = getattr(backbone, "name", type(backbone).__name__)
    encoder = _with_maps(backbone, name)
    pixels = pixels_of(encoder, name)
    if preprocessing == "backbone":
        preprocessing = known_pixels(encoder, name, pixels)
    bgr = takes_bgr(encoder, preprocessing)
    is_pyramid = isinstance(backbone, PyramidBackbone)
    if is_pyramid and output_stride < 32:
        _check_strides(encoder, name, output_stride)
    encoder = _copied(encoder, input_shape, preprocessing, bgr=bgr)
    if not is_pyramid or output_stride < 32:
        encoder = dilate(encoder, output_stride, padded=UNPADDED_STEM)
    _check_sizes(encoder, name, output_stride)
    return encoder


def _with_maps(backbone: keras.Model | PyramidBackbone, name: str) -> keras.Model:
    """The model from the image to its maps by stride."""
    if isinstance(backbone, PyramidBackbone):
        levels = {
            f"stride_{2 ** int(level[1:])}": tensor
            for level, tensor in backbone.pyramid_outputs.items()
            if re.fullmatch(r"P[1-5]", level)
        }
        (image,) = keras.utils.get_source_inputs(next(iter(levels.values())))
        return keras.Model(image, levels, name=name)
    output = getattr(backbone, "output", None)
    if not isinstance(backbone, keras.Model) or not isinstance(output, KerasTensor):
        raise ValueError(
            f"The backbone {name!r} has no feature maps that are found. Received: "
            f"{type(backbone).__name__} with output {output}. backbone is {FORMS}."
        )
    if len(output.shape) != 4:
        raise ValueError(
            f"The backbone {name!r} ends in {tuple(output.shape)}, not in a feature map. Build it "
            "without its classifier and without pooling, such as "
            "keras.applications.ResNet50(include_top=False)."
        )
    if len(backbone.inputs) != 1:
        raise ValueError(
            f"The backbone {name!r} takes {len(backbone.inputs)} inputs. It must take one image."
        )
    maps = maps_by_stride(backbone)
    named = {f"stride_{stride}": maps[stride] for stride in STRIDES if stride in maps}
    if isinstance(backbone, keras.Sequential) or "stride_32" not in named:
        strides = sorted(maps)
        raise ValueError(
            f"The feature maps of the backbone {name!r} are not found: its layers have strides up "
            f"to {strides[-1]}, and a map at stride 32 is needed. It must be a functional model, "
            "not a Sequential, and not have another model as a layer. Otherwise name the maps: "
            'backbone=keras.Model(image, {"stride_4": ..., "stride_32": ...}).'
        )
    return keras.Model(backbone.inputs[0], named, name=name)  # `input` may be a list


def _copied(
    encoder: keras.Model,
    input_shape: tuple[int | None, int | None, int],
    preprocessing: str | None,
    *,
    bgr: bool,
) -> keras.Model:
    """A copy with its weights that begins with an image of 0..255."""
    own = normalising_layer(encoder)
    if own is not None and preprocessing is not None:
        raise ValueError(
            f"The backbone {encoder.name!r} normalises pixels itself, by its layer {own.name!r}. "
            f"Received: preprocessing={preprocessing!r}, which would do it twice. Leave it out."
        )
    image, x = image_input(_image_shape(encoder, input_shape), preprocessing=preprocessing)
    copies: dict[int, keras.Operation] = {}
    maps = encoder._run_through_graph(x, operation_fn=_cloning(copies))
    for layer in encoder.layers:
        if layer.weights:
            set_weights(copies[id(layer)], layer.get_weights())
    copy = keras.Model(image, maps, name=encoder.name)
    if bgr:  # the image is RGB
        first = next(layer for layer in copy.layers if isinstance(layer, layers.Conv2D))
        first.kernel.assign(first.get_weights()[0][:, :, ::-1])
    return copy


def _cloning(copies: dict[int, keras.Operation]) -> Callable[[keras.Operation], keras.Operation]:
    """The function that copies each layer once; other operations have no state."""

    def copy_of(operation: keras.Operation) -> keras.Operation:
        if not isinstance(operation, keras.Layer):
            return operation
        if id(operation) not in copies:
            copies[id(operation)] = type(operation).from_config(operation.get_config())
        return copies[id(operation)]

    return copy_of


def _image_shape(
    encoder: keras.Model, given: tuple[int | None, int | None, int]
) -> tuple[int | None, int | None, int]:
    """The shape of the image: that of the encoder where it is fixed, else the given one."""
    own = tuple(encoder.input.shape[1:])
    pairs = list(zip(own, given, strict=True))
    if any(None not in pair and pair[0] != pair[1] for pair in pairs):
        raise ValueError(
            f"input_shape={tuple(given)} contradicts the backbone {encoder.name!r}, which takes "
            f"{own}. Build the backbone for that shape, or leave input_shape out."
        )
    height, width = (b if a is None else a for a, b in pairs[:2])
    return height, width, given[2]


def _check_strides(encoder: keras.Model, name: str, output_stride: int) -> None:
    """Raises ValueError if layers stride in a way that cannot be dilated."""
    for key, tensor in encoder.output.items():
        if key != f"stride_{stride_of(encoder, tensor)}":
            raise ValueError(
                f"The layers of the backbone {name!r} cannot be dilated. Received: output_stride="
                f"{output_stride}. Pass output_stride=32."
            )


def _check_sizes(encoder: keras.Model, name: str, output_stride: int) -> None:
    """Raises ValueError for maps that are smaller than the image divided by their stride."""
    size = tuple(side or PROBE for side in encoder.input.shape[1:3])
    shapes = encoder.compute_output_shape((1, *size, encoder.input.shape[-1]))
    for key, shape in shapes.items():
        stride = min(int(key.removeprefix("stride_")), output_stride)
        expected = tuple(-(-side // stride) for side in size)
        if tuple(shape[1:3]) != expected:
            raise ValueError(
                f"The map {key} of the backbone {name!r} has {tuple(shape[1:3])} pixels for an "
                f"image of {size}, and not {expected}: it has convolutions without padding, so its "
                "maps do not lie on the image. Choose another backbone, of keras_seg.backbones."
                "list_backbones() or with padding='same'."
            )
