"""Losses for masks: (B, H, W) classes, or one-hot, against (B, H, W, num_classes) scores.

All compute in float32, ignore pixels of `ignore_class`, take weights per image or per pixel, and
give the same value on many replicas as on one device. A network with one output channel is binary:
its score z stands for two classes with scores 0 and z. `SegmentationLoss` documents what all losses
share.

The classes load when they are first used, since `keras_seg.losses.spec` serves recipes without
TensorFlow.
"""

from typing import TYPE_CHECKING

from keras_seg.lazy import lazy_names
from keras_seg.losses.spec import LOSS_TABLE, name_here

if TYPE_CHECKING:  # for editors and type checkers
    from keras_seg.losses.base import SegmentationLoss
    from keras_seg.losses.boundary import Boundary
    from keras_seg.losses.cross_entropy import CrossEntropy, OhemCrossEntropy
    from keras_seg.losses.focal import Focal
    from keras_seg.losses.lovasz import LovaszHinge, LovaszSoftmax
    from keras_seg.losses.overlap import Dice, FocalTversky, Jaccard, Tversky
    from keras_seg.losses.registry import LOSSES, get
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

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "LOSSES": "keras_seg.losses.registry",
        "SegmentationLoss": "keras_seg.losses.base",
        "WeightedSum": "keras_seg.losses.weighted_sum",
        "get": "keras_seg.losses.registry",
    }
    | {entry.class_name: f"keras_seg.losses.{entry.module}" for entry in LOSS_TABLE.values()},
    name_here=lambda name: (here := name_here(name)) and f"keras_seg.losses.get({here!r})",
)
