"""The table of encoders and the one function that builds them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import keras

from keras_seg.backbones.dilation import dilate
from keras_seg.blocks import image_input
from keras_seg.names import unknown_name


@dataclass(frozen=True)
class Backbone:
    """One encoder of Keras Applications.

    application: the function of keras.applications.
    preprocessing: the normalisation that its ImageNet weights were trained with.
    taps: layer that gives the map at strides 2, 4, 8, 16 and 32.
    """

    application: Callable[..., keras.Model]
    preprocessing: str
    taps: tuple[str, str, str, str, str]


BACKBONES = {
    "mobilenetv2": Backbone(
        keras.applications.MobileNetV2,
        preprocessing="symmetric",
        taps=(
            "block_1_expand_relu",
            "block_3_expand_relu",
            "block_6_expand_relu",
            "block_13_expand_relu",
            "out_relu",
        ),
    ),
}


def list_backbones() -> list[str]:
    return sorted(BACKBONES)


def find(name: str) -> Backbone:
    """The table's row, or a ValueError that names the nearest backbone."""
    if name not in BACKBONES:
        raise ValueError(unknown_name("backbone", name, BACKBONES))
    return BACKBONES[name]


def build(
    name: str,
    input_shape=(None, None, 3),
    *,
    output_stride: int = 32,
    weights: str | None = None,
    preprocessing: str | None = None,
) -> keras.Model:
    """Builds an encoder as a flat functional model, so that a network can go on from its maps.

    Shapes: image (B, H, W, C) → {"stride_2": (B, H/2, W/2, ...), ..., "stride_32": ...}. With
    `output_stride` 8 or 16 the deeper maps keep that stride, dilated, under the names of the
    strides that they have in the published network.

    Args:
        name: one of `list_backbones()`.
        output_stride: 8, 16 or 32.
        weights: None for random values, "imagenet", or a weights file of the application.
        preprocessing: see `keras_seg.layers.Preprocessing`; None for images that are normalised.

    Raises: ValueError for an unknown name, a stride or a channel count that the weights do not
        fit; RuntimeError with the remedy if the ImageNet weights cannot be downloaded.
    """
    backbone = find(name)
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride must be 8, 16 or 32. Received: {output_stride}")
    image, x = image_input(input_shape, preprocessing=preprocessing)
    if weights == "imagenet" and image.shape[-1] != 3:
        raise ValueError(
            "The ImageNet weights of a backbone are for 3 channels (RGB). Received: input_shape "
            f"with {image.shape[-1]} channels. Pass backbone_weights=None to train from random "
            "values."
        )
    encoder = _application(name, backbone, x, weights)
    encoder = dilate(keras.Model(image, encoder.output), output_stride)
    taps = zip((2, 4, 8, 16, 32), backbone.taps, strict=True)
    maps = {f"stride_{stride}": encoder.get_layer(tap).output for stride, tap in taps}
    return keras.Model(encoder.input, maps, name=name)


def _application(name, backbone, x, weights):
    """Builds the application; turns a failed download into an error that says what to do."""
    try:
        with warnings.catch_warnings():
            # Free sizes are meant; the weights of a network without its top fit every size.
            warnings.filterwarnings("ignore", message="`input_shape` is undefined")
            return backbone.application(include_top=False, weights=weights, input_tensor=x)
    except Exception as error:
        # Keras reports a failed download as a bare Exception ("URL fetch failure on ...").
        if weights != "imagenet" or "URL fetch failure" not in str(error):
            raise
        raise RuntimeError(
            f"The ImageNet weights of {name!r} could not be downloaded ({error}). Connect to the "
            "internet once (Keras keeps the file in ~/.keras/models), or pass a downloaded file "
            "as backbone_weights='path/to/file.h5', or train from random values with "
            "backbone_weights=None (command line: --model_options.backbone_weights null)."
        ) from error
