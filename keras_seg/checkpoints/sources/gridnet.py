"""Checkpoints of GridNet: the authors' for segmentation, and two by others."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import keras
import numpy as np

from keras_seg import models
from keras_seg.checkpoints.registry import Shapes, source
from keras_seg.checkpoints.sources.shared import in_variant
from keras_seg.models.variants import GridNetVariant

LATERAL = re.compile(r"lateral_(\d+)_(\d+)\.(?:f\.)?\d\.weight")
OUR_INDEX = {0: 1, 1: 2, 2: 4, 3: 5}
"""Position in a block without norms → position in ours, which counts the norms."""


def turn_transposed(tensors: dict) -> dict:
    """Turns kernels of transposed convolutions of stride 1 into those of equal plain convolutions.

    In the repository the later lateral blocks of the way up, the second convolutions of `up` and
    both of `last` are transposed.
    """
    half = _half(tensors)

    def is_turned(name: str) -> bool:
        if match := re.match(r"lateral_\d+_(\d+)\.[25]\.weight", name):
            return int(match[1]) >= half
        return re.match(r"(up_\d+_\d+\.5|last\.[03])\.weight", name)

    return {
        name: np.swapaxes(array, 0, 1)[:, :, ::-1, ::-1] if is_turned(name) else array
        for name, array in tensors.items()
    }


@source("gridnet-fourure", prepare=turn_transposed)
def fourure(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """Fourure/GridNet: batch norm, ReLU, transposed convolutions upwards."""
    return _gridnet(shapes, input_shape, options, "last.3.weight", GridNetVariant())


def rename_niklaus(tensors: dict) -> dict:
    """Renames `<row>x<column> - <row>x<column>.netMain.<i>`, a block between two nodes."""

    def ours(name: str) -> str:
        if match := re.match(r"(\d+)x(\d+) - (\d+)x\d+\.netMain\.(\d)\.(.*)", name):
            row, column, target, index = (int(number) for number in match.groups()[:4])
            if target == row:
                return f"lateral_{row}_{column}.{OUR_INDEX[index]}.{match[5]}"
            if target > row:
                return f"down_{row}_{column}.{OUR_INDEX[index]}.{match[5]}"
            return f"up_{target}_{column}.{OUR_INDEX[index - 1]}.{match[5]}"
        name = name.replace("netOutput.netShortcut.", "last.shortcut.")
        return re.sub(r"^netOutput\.netMain\.(\d)", lambda m: f"last.{(0, 2, 3)[int(m[1])]}", name)

    return {ours(name): array for name, array in tensors.items()}


@source("gridnet-niklaus", prepare=rename_niklaus)
def niklaus(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """The grid of sniklaus/softmax-splatting, which takes a list of feature maps, one per row."""
    variant = GridNetVariant(
        norm=False,
        nonlinearity=_nonlinearity(shapes, "last.2.weight"),
        stem="rows",
        head="shortcut",
    )
    options = {"upsampling": "bilinear"} | options
    return _gridnet(shapes, input_shape, options, "last.3.weight", variant)


def rename_daigo(tensors: dict) -> dict:
    """Renames `<block>.f.<i>`; the `up` blocks are counted from the first column of the way up."""
    half = _half(tensors)

    def ours(name: str) -> str:
        name = re.sub(r"^lateral_init\.", "first.", name)
        name = re.sub(r"^lateral_final\.", "last.", name)
        name = re.sub(r"^(first|last)\.conv\.", r"\1.shortcut.", name)
        if match := re.match(r"up_(\d+)_(\d+)\.f\.(\d)(.*)", name):
            row, column, index = (int(number) for number in match.groups()[:3])
            return f"up_{row}_{half + column}.{OUR_INDEX[index - 1]}{match[4]}"
        return re.sub(r"\.f\.(\d)", lambda match: f".{OUR_INDEX[int(match[1])]}", name)

    return {ours(name): array for name, array in tensors.items()}


@source("gridnet-daigo0927", prepare=rename_daigo)
def daigo0927(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """daigo0927/GridNet: one PReLU slope per layer, no norm, residual blocks at both ends."""
    variant = GridNetVariant(
        norm=False,
        nonlinearity=_nonlinearity(shapes, "first.4.weight"),
        stem="residual",
        head="residual",
    )
    options = {"upsampling": "bilinear"} | options
    return _gridnet(shapes, input_shape, options, "last.5.weight", variant)


def _gridnet(
    shapes: Shapes, input_shape: tuple, options: dict, scores: str, variant: GridNetVariant
) -> keras.Model:
    """The GridNet of these tensors.

    Args:
        scores: name of a tensor with one entry per class.
        variant: details that the tensors do not determine.
    """
    variant = replace(variant, use_bias="lateral_0_0.5.bias" in shapes)
    arguments = {"preprocessing": None} | _grid(shapes)
    options = in_variant("gridnet", variant, options)
    return models.build("gridnet", input_shape, shapes[scores][0], **arguments | options)


def _half(names: Iterable[str]) -> int:
    """Columns of the way down, half of all. There is one column more than lateral steps."""
    steps = [int(match[2]) for name in names if (match := LATERAL.match(name))]
    return (max(steps, default=0) + 2) // 2


def _grid(shapes: Shapes) -> dict:
    """Rows and columns, from the lateral blocks."""
    features = []
    while (name := f"lateral_{len(features)}_0.5.weight") in shapes:
        features.append(shapes[name][0])
    if not features:
        raise KeyError(name)
    return {
        "features": tuple(features),
        "columns": 2 * _half(shapes),
    }


def _nonlinearity(shapes: Shapes, slopes: str) -> str:
    return "prelu_shared" if shapes[slopes] == (1,) else "prelu"
