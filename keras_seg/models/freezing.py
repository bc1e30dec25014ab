"""Freezes and unfreezes the backbone of a network."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from keras_seg.layers import FakeQuantize
from keras_seg.models.functional import as_functional

NORMS = keras.layers.BatchNormalization


@dataclass(frozen=True)
class _Decoder:
    """The layers of a network that follow its backbone, by their names.

    Attributes:
        mark: pattern of a layer that only this network has.
        layers: pattern of all layers with weights after the backbone.
        own_encoder: pattern of a layer of the network's own encoder, which is not a backbone.
    """

    mark: str
    layers: str
    own_encoder: str = r"(?!)"  # matches nothing


DECODERS = {
    "danet": _Decoder(r"head\.conv5a\.0$", r"head\."),
    "deeplabv3plus": _Decoder(r"aspp\.conv0$", r"(aspp|decoder)\.|classifier$"),
    "hrnet": _Decoder(
        r"(last_layer\.0|reduction)$", r"(last_layer|aggregate|pyramid)\.|reduction(_bn)?$"
    ),
    "ocrnet": _Decoder(
        r"cls_head$", r"(aux_head|conv3x3_ocr|asp_ocr_head|ocr_distri_head)\.|cls_head$"
    ),
    "unet": _Decoder(r"outc\.conv$", r"(centre|up\d|outc)\.", own_encoder=r"inc\."),
    "unetplusplus": _Decoder(
        r"final\d?$", r"conv\d_\d\.|up\d\.|up\d_\d|final\d?$", own_encoder=r"conv0_0\."
    ),
}
"""Name of a network that takes a backbone → what follows it."""


def freeze_backbone(model: keras.Model, *, norms_only: bool = False) -> str:
    """Stops the training of a network's backbone.

    Its weights stay as they are. So do the moving statistics of its batch norms, which then
    normalise by them also while training. `compile` must be called afterwards.

    Args:
        model: a network of this package with a backbone, built or loaded.
        norms_only: freeze the batch norms of the backbone and train its other layers.

    Returns: a sentence with the number of layers and weights.

    Raises: ValueError for a network without a backbone.

    Example:

        model = keras_seg.models.unet(
            (64, 64, 3), 2, backbone="mobilenetv2", backbone_weights=None
        )
        keras_seg.models.freeze_backbone(model)
        model.compile("adam", keras_seg.losses.get("cross_entropy"))
    """

    def is_frozen(layer: keras.Layer) -> bool:
        return not norms_only or isinstance(layer, NORMS)

    return _set_trainable(model, is_frozen, trainable=False)


def unfreeze_backbone(model: keras.Model) -> str:
    """Trains all layers of a network's backbone again. `compile` must be called afterwards.

    Args:
        model: a network of this package with a backbone, built or loaded.

    Returns: a sentence with the number of layers and weights.

    Raises: ValueError for a network without a backbone.

    Example:

        model = keras_seg.models.unet(
            (64, 64, 3), 2, backbone="mobilenetv2", backbone_weights=None
        )
        keras_seg.models.freeze_backbone(model)
        keras_seg.models.unfreeze_backbone(model)
    """
    return _set_trainable(model, lambda layer: True, trainable=True)


def backbone_layers(model: keras.Model) -> list[keras.Layer]:
    """The layers with weights of a network's backbone, found by the names of all other layers.

    The names of the backbone itself are not used: those of Keras Applications may be automatic.
    The network may be the layer of another model.

    Raises: ValueError for a network without a backbone.
    """
    layers = [
        layer
        for layer in as_functional(model).layers
        if layer.weights and not isinstance(layer, FakeQuantize)
    ]
    for decoder in DECODERS.values():
        if not _has(layers, decoder.mark) or _has(layers, decoder.own_encoder):
            continue
        return [layer for layer in layers if not re.match(decoder.layers, layer.name)]
    inner = [layer for layer in layers if isinstance(layer, keras.Model)]
    if len(inner) == 1:  # a network between layers of the user
        return backbone_layers(inner[0])
    raise ValueError(
        f"A network of keras_seg with a backbone is expected ({', '.join(DECODERS)}; unet and "
        f"unetplusplus with backbone=...). Received: {model.name!r}. In other models set "
        "layer.trainable = False for each layer to freeze."
    )


def _has(layers: list[keras.Layer], pattern: str) -> bool:
    return any(re.match(pattern, layer.name) for layer in layers)


def _set_trainable(
    model: keras.Model, is_changed: Callable[[keras.Layer], bool], *, trainable: bool
) -> str:
    changed = [layer for layer in backbone_layers(model) if is_changed(layer)]
    for layer in changed:
        layer.trainable = trainable
    count = sum(int(np.prod(weight.shape)) for layer in changed for weight in layer.weights)
    again = " Call compile again, so that this applies." if getattr(model, "compiled", 0) else ""
    what = "Trained" if trainable else "Frozen"
    return f"{what}: {len(changed)} layers of the backbone with {count:,} weights.{again}"
