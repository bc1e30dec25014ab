"""One module a family of networks; importing it registers its sources."""

from keras_seg.checkpoints.sources import unet

__all__ = ["unet"]
