"""Loads ImageNet weights of VGG16 into networks that have its convolutions under other names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from keras_seg.layers import Preprocessing
from keras_seg.weights import read

KERAS_FILES = (".h5", ".keras")
VGG16_WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of the 3x3 convolutions of the five stages."""
CONVOLUTIONS = tuple(map(len, VGG16_WIDTHS))


def check_vgg16(widths: Sequence[Sequence[int]], channels: int) -> None:
    """Raises ValueError for a network that the weights of VGG16 do not fit."""
    if tuple(map(tuple, widths)) != VGG16_WIDTHS or channels != 3:
        raise ValueError(
            "The weights of VGG16 fit its own widths and 3 channels (RGB). Received: "
            f"widths={tuple(widths)} and {channels} channels. Pass backbone_weights=None to train "
            "from random values."
        )


def load_vgg16(
    model: keras.Model, weights: str | Path | Mapping, preprocessing: str | None, *, norm_name: str
) -> None:
    """Sets the layers `conv<stage>_<i>` of a model to the convolutions of VGG16.

    The first convolution is converted for RGB as scaled by `preprocessing`, up to a factor that
    keeps the size of its kernel as published. The batch norm behind it removes that factor. A
    kernel 255 times as large, for pixels in 0..1, would compute the same at first but hardly learn:
    behind a batch norm the effect of a step shrinks with the square of the kernel's size. All this
    is exact except at the border, where the zeros of the padding mean another colour.

    Args:
        model: a network with the convolutions of VGG16.
        weights: "imagenet" for those of Keras Applications; a file of
            `keras.applications.VGG16` without its top (.h5, .keras); or the vgg16 or vgg16_bn of
            torchvision and timm as a file or a mapping of tensor name → array, with or without
            classifier.
        preprocessing: how the network normalises pixels.
        norm_name: pattern of the name of the batch norm after `conv<name>`, such as "bn{}". Those
            of vgg16_bn are loaded too; with plain weights they stay unchanged.

    Raises: RuntimeError with the remedy if the ImageNet weights cannot be downloaded; ValueError
        for weights in PyTorch's layout that are not VGG16's.
    """
    if isinstance(weights, Mapping) or (
        weights != "imagenet" and Path(weights).suffix not in KERAS_FILES
    ):
        convolutions, trained_with = _from_torch(read(weights)), "imagenet"
    else:
        convolutions, trained_with = _from_keras(weights), "caffe"
    for name, kernel, bias, norm in convolutions:
        norm_layer = model.get_layer(norm_name.format(name))
        if name == "1_1":
            size = float(np.linalg.norm(kernel))
            kernel, bias = _for_pixels(kernel, bias, trained_with, preprocessing)
            factor = size / float(np.linalg.norm(kernel))
            kernel, bias = kernel * factor, bias * factor
            norm = norm and _for_scaled(norm, factor, norm_layer.epsilon)
        model.get_layer(f"conv{name}").set_weights([kernel, bias])
        if norm:
            norm_layer.set_weights(norm)


def _from_keras(weights: str | Path) -> Iterator[tuple]:
    """(stage_i, kernel for RGB, bias, no norm) of each convolution."""
    for layer in _vgg16(str(weights)).layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel, bias = layer.get_weights()
            first = layer.name == "block1_conv1"
            kernel = kernel[:, :, ::-1] if first else kernel  # expects blue first
            yield layer.name.removeprefix("block").replace("_conv", "_"), kernel, bias, None


def _from_torch(tensors: Mapping[str, np.ndarray]) -> list[tuple]:
    """(stage_i, kernel, bias, [gamma, beta, mean, variance] or None) of each convolution."""
    places = sorted(
        int(match[1])
        for name, tensor in tensors.items()
        if (match := re.fullmatch(r"features\.(\d+)\.weight", name)) and tensor.ndim == 4
    )
    if len(places) != sum(CONVOLUTIONS):
        raise ValueError(
            f"VGG16 has {sum(CONVOLUTIONS)} convolutions `features.<i>.weight`. Received: "
            f"{len(places)} among the tensors {[*tensors][:6]}. Pass torchvision's vgg16 or "
            "vgg16_bn."
        )
    names = [f"{stage}_{i}" for stage, n in enumerate(CONVOLUTIONS, 1) for i in range(1, n + 1)]
    leaves = ("weight", "bias", "running_mean", "running_var")
    convolutions = []
    for name, place in zip(names, places, strict=True):
        kernel = tensors[f"features.{place}.weight"].transpose(2, 3, 1, 0)
        with_norm = f"features.{place + 1}.running_mean" in tensors
        norm = [tensors[f"features.{place + 1}.{leaf}"] for leaf in leaves] if with_norm else None
        convolutions.append((name, kernel, tensors[f"features.{place}.bias"], norm))
    return convolutions


def _for_pixels(
    kernel: np.ndarray, bias: np.ndarray, trained_with: str, preprocessing: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """(kernel, bias) of a convolution, converted from its own normalisation to the network's."""
    scale, offset = 1.0, 0.0
    if preprocessing is not None:
        mode = Preprocessing(preprocessing)
        scale, offset = mode.scale, mode.offset
    trained = Preprocessing(trained_with)
    factor = np.broadcast_to(trained.scale / scale, 3)
    shift = np.broadcast_to(trained.offset - offset * factor, 3)
    return kernel * factor[:, None], bias + np.einsum("hwcf,c->f", kernel, shift)


def _for_scaled(norm: list[np.ndarray], factor: float, epsilon: float) -> list[np.ndarray]:
    """The weights of a batch norm for inputs times `factor`, with the same outputs."""
    gamma, beta, mean, variance = norm
    scaled = factor**2 * variance
    gamma = gamma * np.sqrt(scaled + epsilon) / (factor * np.sqrt(variance + epsilon))
    return [gamma, beta, factor * mean, scaled]


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
