"""The networks: plain functions that return a functional `keras.Model`, one file per paper.

Every builder takes `input_shape` (height, width, channels; None for a free height or width) and
`num_classes` first, everything else by keyword:

    activation: None for logits (default), "softmax" or "sigmoid".
    preprocessing: normalisation of pixels in 0..255 inside the model, see
        `keras_seg.layers.Preprocessing`; None for images that are already normalised.
    backbone, backbone_weights: encoder and its weights, where a network takes one.
    weights: a `.keras` file of the same network, or a name of `list_weights()`, whose weights are
        taken, see `load_weights_from`.
    variant: details of published implementations, see `keras_seg.models.variants`.
    name: name of the returned model.
"""

from keras_seg.card import ModelCard
from keras_seg.models import variants
from keras_seg.models.danet import danet
from keras_seg.models.deconvnet import deconvnet
from keras_seg.models.deeplabv3plus import deeplabv3plus
from keras_seg.models.face_parser import FacePart, face_parser, part_patches
from keras_seg.models.files import load, read_card, save
from keras_seg.models.freezing import freeze_backbone, unfreeze_backbone
from keras_seg.models.functional import as_functional
from keras_seg.models.gridnet import gridnet
from keras_seg.models.hrnet import hrnet
from keras_seg.models.icnn import icnn
from keras_seg.models.inference_form import for_inference
from keras_seg.models.initial_weights import load_weights_from
from keras_seg.models.multiply_adds import multiply_adds, multiply_adds_by_layer
from keras_seg.models.names_elsewhere import unknown_model
from keras_seg.models.ocrnet import ocrnet
from keras_seg.models.part_locator import part_locator
from keras_seg.models.registry import build, find, list_models
from keras_seg.models.resunet import resunet
from keras_seg.models.resunetplusplus import resunetplusplus
from keras_seg.models.segnet import segnet, segnet_basic
from keras_seg.models.uncertainty import predict_with_uncertainty
from keras_seg.models.unet import unet
from keras_seg.models.unetplusplus import prune, unetplusplus
from keras_seg.names_elsewhere import attribute_error
from keras_seg.published_weights import PublishedWeights, find_weights, list_weights

__all__ = [
    "FacePart",
    "ModelCard",
    "PublishedWeights",
    "as_functional",
    "build",
    "danet",
    "deconvnet",
    "deeplabv3plus",
    "face_parser",
    "find",
    "find_weights",
    "for_inference",
    "freeze_backbone",
    "gridnet",
    "hrnet",
    "icnn",
    "list_models",
    "list_weights",
    "load",
    "load_weights_from",
    "multiply_adds",
    "multiply_adds_by_layer",
    "ocrnet",
    "part_locator",
    "part_patches",
    "predict_with_uncertainty",
    "prune",
    "read_card",
    "resunet",
    "resunetplusplus",
    "save",
    "segnet",
    "segnet_basic",
    "unet",
    "unetplusplus",
    "unfreeze_backbone",
    "variants",
]


def __getattr__(name: str) -> object:
    hint = "" if name.startswith("_") else unknown_model(name, list_models())
    raise attribute_error(__name__, name, hint.removeprefix(". "))
