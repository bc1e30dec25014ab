"""The networks: plain functions that return a functional `keras.Model`, one file a paper.

Every builder takes `input_shape` (height, width, channels; None for a free height or width) and
`num_classes` first, everything else by keyword:

    activation: None for logits (default), "softmax" or "sigmoid".
    preprocessing: normalisation of pixels in 0..255 inside the model, see
        `keras_seg.layers.Preprocessing`; None if the images come normalised.
    backbone, backbone_weights: encoder and its weights, where a network takes one.
    name: name of the returned model.
"""

from keras_seg.card import ModelCard
from keras_seg.models.deeplabv3plus import deeplabv3plus
from keras_seg.models.files import load, read_card, save
from keras_seg.models.registry import build, find, list_models
from keras_seg.models.unet import unet

__all__ = [
    "ModelCard",
    "build",
    "deeplabv3plus",
    "find",
    "list_models",
    "load",
    "read_card",
    "save",
    "unet",
]
