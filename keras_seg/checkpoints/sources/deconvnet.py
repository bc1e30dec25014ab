"""Checkpoints of DeconvNet."""

from __future__ import annotations

import re

import keras
import numpy as np

from keras_seg import models
from keras_seg.checkpoints.registry import Shapes, source
from keras_seg.checkpoints.sources.segnet import from_caffe, stage_widths, turned


def _turn_deconvolutions(name: str, tensor: np.ndarray) -> np.ndarray:
    return turned(tensor) if re.fullmatch(r"deconv\d+_\d+\.weight", name) else tensor


@source(
    "deconvnet-caffe",
    rename=[(r"^seg-score[^.]*\.", "seg-score-voc.")],  # a data set's name follows
    prepare=from_caffe,
    adjust=_turn_deconvolutions,
)
def deconvnet(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """HyeonwooNoh/DeconvNet, with or without fc6 and fc7; for BGR images minus their mean."""
    arguments = {
        "widths": stage_widths(shapes),
        "fc": shapes["fc6.weight"][0] if "fc6.weight" in shapes else 0,
        "preprocessing": None,
    }
    num_classes = shapes["seg-score-voc.weight"][0]
    return models.build("deconvnet", input_shape, num_classes, **arguments | options)
