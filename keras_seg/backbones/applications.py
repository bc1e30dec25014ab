"""Backbones from Keras Applications, at any output stride and for any number of channels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import KerasTensor

from keras_seg.backbones.dilation import dilate, maps_by_stride
from keras_seg.weights import fit_first_kernel, set_weights

UNPADDED_STEM = ("block1_conv1", "block1_conv2")
"""Xception's first convolutions have no padding; its maps would have other sizes than the rest."""
REMEDY = (
    "Connect to the internet once (Keras keeps the file in ~/.keras/models), or pass a downloaded "
    "file as backbone_weights='path/to/file.h5', or train from random values with "
    "backbone_weights=None (command line: --model_options.backbone_weights null)."
)


def application_maps(
    image: KerasTensor,
    x: KerasTensor,
    application: Callable[..., keras.Model],
    arguments: Mapping,
    *,
    output_stride: int,
    weights: str | Path | Mapping | None,
    bgr: bool = False,
) -> keras.Model:
    """Encoder from an image to its maps {"stride_2": ..., "stride_32": ...}.

    Args:
        image, x: the input of the model, and its normalised form.
        application: a function of `keras.applications`.
        arguments: arguments of the application.
        weights: None, "imagenet", a weights file of the application, or a mapping from the paths
            of its weights ("Conv1/kernel") to arrays.
        bgr: whether the weights expect blue first; the first kernel is then reversed for RGB.

    Raises: FileNotFoundError or ValueError for weights that are not those of the application;
        RuntimeError with the remedy if they cannot be downloaded.
    """
    output = _call(application, arguments, None, input_tensor=x).output
    maps = maps_by_stride(keras.Model(image, output))
    encoder = keras.Model(image, {f"stride_{stride}": maps[stride] for stride in sorted(maps)})
    if weights is not None:
        values = _values(application, arguments, weights)
        if bgr:
            values[0] = values[0][:, :, ::-1]
        if x.shape[-1] != values[0].shape[2]:
            values[0] = fit_first_kernel(values[0], x.shape[-1], axis=2)
        set_weights(encoder, values)
    return dilate(encoder, output_stride, padded=UNPADDED_STEM)


def _values(
    application: Callable, arguments: Mapping, weights: str | Path | Mapping
) -> list[np.ndarray]:
    """The weights of the application for RGB, in its order."""
    if not isinstance(weights, Mapping):
        if weights != "imagenet" and not Path(weights).is_file():
            raise FileNotFoundError(
                f"There is no weights file {str(weights)!r}. Pass the .h5 file of "
                f"keras.applications.{application.__name__} without its top, or 'imagenet'."
            )
        return _call(application, arguments, weights, input_shape=(None, None, 3)).get_weights()
    model = _call(application, arguments, None, input_shape=(None, None, 3))
    paths = [weight.path for weight in model.weights]
    if set(paths) != set(weights):
        raise ValueError(
            f"The weights are not those of keras.applications.{application.__name__}: it has "
            f"{len(paths)} weights with paths like {paths[:3]}. Received {len(weights)}: "
            f"{[*weights][:3]}. Pass its own .h5 file, or a mapping of these paths."
        )
    return [np.asarray(weights[path]) for path in paths]


def _call(
    application: Callable, arguments: Mapping, weights: str | Path | None, **where: Any
) -> keras.Model:
    """Builds the application; turns a failed download into an error that says what to do."""
    try:
        with warnings.catch_warnings():
            # a free size is intended: weights without the top fit every size
            warnings.filterwarnings("ignore", message="`input_shape` is undefined")
            return application(include_top=False, weights=weights, **arguments, **where)
    except Exception as error:
        # Keras reports a failed download as a bare Exception ("URL fetch failure on ...").
        if weights != "imagenet" or "URL fetch failure" not in str(error):
            raise
        raise RuntimeError(
            f"The ImageNet weights of keras.applications.{application.__name__} could not be "
            f"downloaded ({error}). {REMEDY}"
        ) from error
