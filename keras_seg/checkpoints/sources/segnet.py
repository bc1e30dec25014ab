"""Checkpoints of SegNet."""

from __future__ import annotations

import re

import keras
import numpy as np

from keras_seg import models
from keras_seg.blocks import BATCH_NORM_EPSILON
from keras_seg.checkpoints.registry import Shapes, source

CAFFE_BLOBS = {".0": ".weight", ".1": ".bias"}


def from_caffe(tensors: dict) -> dict:
    """Tensors of a caffemodel, or of a PyTorch port of one, in PyTorch's layout.

    Blobs may be numbered (`conv1_1.0`). Released models have two vectors per batch norm, a
    (1, C, 1, 1) scale and shift with the statistics folded in. A mean of 0 and a variance of
    1 - epsilon complete them without changing the result.
    """
    tensors = {re.sub(r"\.[01]$", lambda m: CAFFE_BLOBS[m[0]], k): v for k, v in tensors.items()}
    complete = {}
    for name, tensor in tensors.items():
        layer, _, leaf = name.rpartition(".")
        is_norm = "bn" in layer
        complete[name] = tensor.reshape(-1) if is_norm or leaf == "bias" else tensor
        if is_norm and leaf == "weight" and f"{layer}.running_mean" not in tensors:
            complete[f"{layer}.running_mean"] = np.zeros_like(complete[name])
            complete[f"{layer}.running_var"] = np.full_like(complete[name], 1 - BATCH_NORM_EPSILON)
    return complete


@source("segnet-caffe", has=r"^conv1_1\.", prepare=from_caffe)
def segnet(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """SegNet of alexgkendall/SegNet-Tutorial, for BGR images; `bayesian=True` for the other."""
    return _segnet(shapes, input_shape, options, rounding="ceil")


@source("segnet-caffe", has=r"^conv_classifier\.", prepare=from_caffe)
def segnet_basic(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """SegNet-Basic of alexgkendall/SegNet-Tutorial, for BGR images."""
    stages = sum(bool(re.fullmatch(r"conv\d+\.weight", name)) for name in shapes)
    arguments = {
        "widths": tuple(shapes[f"conv{stage}.weight"][0] for stage in range(1, stages + 1)),
        "kernel": shapes["conv1.weight"][2],
        "use_bias": "conv1.bias" in shapes,
        "preprocessing": None,
    }
    num_classes = shapes["conv_classifier.weight"][0]
    return models.build("segnet_basic", input_shape, num_classes, **arguments | options)


@source(
    "deltaonera",
    has=r"^conv11\.",
    rename=[
        (r"^conv(\d)(\d)(d?)\.", r"conv\1_\2\3."),
        (r"^bn(\d)(\d)(d?)\.", r"conv\1_\2\3_bn."),
        (r"^(conv\d_\d)d", r"\1_D"),
    ],
)
def deltaonera(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """delta-onera/segnet_pytorch, which takes multiples of 32 only."""
    return _segnet(shapes, input_shape, options, rounding="floor")


def _say4n_name(match: re.Match) -> str:
    """`decoder_convtr_42.1.` → `conv5_3_D_bn.`: stages and convolutions count from zero."""
    coder, stage, conv, part = match.groups()
    return (
        f"conv{int(stage) + 1}_{int(conv) + 1}"
        f"{'_D' if coder.startswith('decoder') else ''}{'_bn' if part == '1' else ''}."
    )


def turned(tensor: np.ndarray) -> np.ndarray:
    """Turns the kernel (in, out, h, w) of a transposed convolution into that of a plain one."""
    return tensor.transpose(1, 0, 2, 3)[:, :, ::-1, ::-1]


@source(
    "say4n",
    rename=[(r"^(encoder_conv|decoder_convtr)_(\d)(\d)\.([01])\.", _say4n_name)],
    ignore=[r"^vgg16\."],
    adjust=lambda name, tensor: turned(tensor) if name.endswith("_D.weight") else tensor,
)
def say4n(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """say4n/pytorch-segnet: transposed convolutions in the decoder, and an unused VGG16."""
    return _segnet(shapes, input_shape, options, rounding="floor")


def stage_widths(shapes: Shapes) -> tuple[tuple[int, ...], ...]:
    """Channels of the convolutions `conv<stage>_<i>`, stage by stage."""
    widths: dict[int, dict[int, int]] = {}
    for name, shape in shapes.items():
        if match := re.fullmatch(r"conv(\d+)_(\d+)\.weight", name):
            stage, i = map(int, match.groups())
            widths.setdefault(stage, {})[i] = shape[0]
    return tuple(tuple(w for _, w in sorted(widths[stage].items())) for stage in sorted(widths))


def _segnet(shapes: Shapes, input_shape: tuple, options: dict, **facts: str) -> keras.Model:
    """The SegNet of tensors in Caffe's names; `facts` are options that no shape determines."""
    num_classes = shapes["conv1_1_D.weight"][0]
    arguments = {"widths": stage_widths(shapes), "preprocessing": None}
    return models.build("segnet", input_shape, num_classes, **arguments | facts | options)
