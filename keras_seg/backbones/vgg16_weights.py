"""ImageNet weights of VGG16 for networks that contain its convolutions under names of their own."""

from __future__ import annotations

import keras
import numpy as np

from keras_seg.layers import Preprocessing

PIXEL_MEAN = np.array([123.68, 116.779, 103.939])
"""RGB mean that the weights of Keras Applications expect subtracted, without scaling."""


def check_vgg16(widths, expected, channels: int) -> None:
    """Raises ValueError for a network that the weights of VGG16 do not fit."""
    if tuple(map(tuple, widths)) != tuple(map(tuple, expected)) or channels != 3:
        raise ValueError(
            "The weights of VGG16 fit its own widths and 3 channels (RGB). Received: "
            f"widths={tuple(widths)} and {channels} channels. Pass backbone_weights=None to train "
            "from random values."
        )


def load_vgg16(model: keras.Model, weights: str, preprocessing: str | None) -> None:
    """Sets the layers `conv<stage>_<i>` of a model to the convolutions of VGG16.

    The weights come for BGR pixels without their mean; the first convolution is rewritten for RGB
    as `preprocessing` scales them, which is exact but for the border, where zeros mean another
    color.

    Args:
        weights: "imagenet", or a file of `keras.applications.VGG16` without its top.

    Raises: RuntimeError with the remedy if the ImageNet weights cannot be downloaded.
    """
    for layer in _vgg16(weights).layers:
        if not isinstance(layer, keras.layers.Conv2D):
            continue
        kernel, bias = layer.get_weights()
        if layer.name == "block1_conv1":
            kernel, bias = _for_pixels(kernel[:, :, ::-1], bias, preprocessing)
        ours = layer.name.removeprefix("block").replace("_conv", "_")
        model.get_layer(f"conv{ours}").set_weights([kernel, bias])


def _for_pixels(kernel, bias, preprocessing):
    """A convolution of (pixel - mean), as one of (pixel * scale + offset)."""
    scale, offset = 1.0, 0.0
    if preprocessing is not None:
        mode = Preprocessing(preprocessing)
        scale, offset = mode.scale, mode.offset
    scale, offset = np.broadcast_to(scale, 3), np.broadcast_to(offset, 3)
    kernel = kernel / scale[:, None]
    shift = np.einsum("hwcf,c->f", kernel, offset + PIXEL_MEAN * scale)
    return kernel, bias - shift


def _vgg16(weights: str) -> keras.Model:
    try:
        return keras.applications.VGG16(
            include_top=False, weights=weights, input_shape=(None, None, 3)
        )
    except Exception as error:
        # Keras reports a failed download as a bare Exception ("URL fetch failure on ...").
        if weights != "imagenet" or "URL fetch failure" not in str(error):
            raise
        raise RuntimeError(
            f"The ImageNet weights of VGG16 could not be downloaded ({error}). Connect to the "
            "internet once (Keras keeps the file in ~/.keras/models), or pass a downloaded file "
            "as backbone_weights='path/to/file.h5', or train from random values with "
            "backbone_weights=None."
        ) from error
