"""One module a family of networks; importing it registers its sources."""

from keras_seg.checkpoints.sources import (
    danet,
    deconvnet,
    deeplabv3plus,
    gridnet,
    hrnet,
    icnn,
    imagenet,
    resunet,
    segnet,
    unet,
)

__all__ = [
    "danet",
    "deconvnet",
    "deeplabv3plus",
    "gridnet",
    "hrnet",
    "icnn",
    "imagenet",
    "resunet",
    "segnet",
    "unet",
]
