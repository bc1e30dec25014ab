"""Losses on masks: (B, H, W) classes, or one-hot, against (B, H, W, num_classes) scores.

All compute in float32, count no pixel of `ignore_class`, take weights an image or a pixel, and give
many replicas the value of one. A network with one output channel is binary: its score z stands for
the two classes with scores 0 and z. `SegmentationLoss` says what is common to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import keras

from keras_seg.losses.base import SegmentationLoss
from keras_seg.losses.boundary import Boundary
from keras_seg.losses.cross_entropy import CrossEntropy, OhemCrossEntropy
from keras_seg.losses.focal import Focal
from keras_seg.losses.lovasz import LovaszHinge, LovaszSoftmax
from keras_seg.losses.overlap import Dice, FocalTversky, Jaccard, Tversky
from keras_seg.losses.spec import LossTerm, name_here, parse_loss
from keras_seg.losses.squared_error import SquaredError
from keras_seg.losses.weighted_sum import WeightedSum

__all__ = [
    "LOSSES",
    "Boundary",
    "CrossEntropy",
    "Dice",
    "Focal",
    "FocalTversky",
    "Jaccard",
    "LovaszHinge",
    "LovaszSoftmax",
    "OhemCrossEntropy",
    "SegmentationLoss",
    "SquaredError",
    "Tversky",
    "WeightedSum",
    "get",
]

LOSSES: dict[str, type[SegmentationLoss]] = {
    "boundary": Boundary,
    "cross_entropy": CrossEntropy,
    "dice": Dice,
    "focal": Focal,
    "focal_tversky": FocalTversky,
    "jaccard": Jaccard,
    "lovasz_hinge": LovaszHinge,
    "lovasz_softmax": LovaszSoftmax,
    "ohem": OhemCrossEntropy,
    "squared_error": SquaredError,
    "tversky": Tversky,
}


def get(spec: str | Mapping | Sequence | keras.losses.Loss) -> keras.losses.Loss:
    """A loss as recipes write it: `keras_seg.losses.spec` has the forms. A loss is given back.

        losses.get("cross_entropy+0.5*dice")
        losses.get({"name": "focal", "class_weights": {1: 9.0}})

    Raises: ValueError for an unknown name or option, with the nearest known one or what a name of
        another package is here, and for an option's value that cannot be meant.
    """
    if isinstance(spec, keras.losses.Loss):
        return spec
    terms = parse_loss(spec)
    losses = [_made(term) for term in terms]
    if len(losses) == 1 and terms[0].weight == 1:
        return losses[0]
    return WeightedSum(
        losses,
        weights=[term.weight for term in terms],
        name="_and_".join(term.name for term in terms),
    )


def _made(term: LossTerm) -> SegmentationLoss:
    try:
        return LOSSES[term.name](**term.options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The loss {term.name!r}: {error}") from error


def __getattr__(name: str):
    here = name_here(name)
    hint = "" if here is None else f"; what others call so is keras_seg.losses.get({here!r})"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
