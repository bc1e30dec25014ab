"""Checkpoints of DANet."""

from __future__ import annotations

import keras

from keras_seg import models
from keras_seg.checkpoints.registry import Shapes, source
from keras_seg.checkpoints.sources.shared import in_variant, resnet_name
from keras_seg.models.variants import DANetVariant


@source("danet", rename=[(r"^pretrained\.", "")], ignore=[r"^pretrained\.fc\."])
def danet(shapes: Shapes, input_shape: tuple, options: dict) -> keras.Model:
    """junfu1115/DANet: three scores at the stride of the encoder."""
    options = in_variant("danet", DANetVariant(), options, align_corners=True)
    arguments = {
        "backbone": resnet_name(shapes),
        "backbone_weights": None,
        "backbone_options": {
            "width": shapes["layer1.0.conv1.weight"][0],
            "deep_stem": "danet" if "conv1.0.weight" in shapes else None,
        },
        "auxiliary_head": True,
        "preprocessing": None,
        "upsample_logits": False,
    }
    num_classes = shapes["head.conv8.1.weight"][0]
    return models.build("danet", input_shape, num_classes, **arguments | options)
