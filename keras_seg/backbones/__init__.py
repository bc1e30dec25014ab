"""Encoders: image → {"stride_2": ..., ..., "stride_32": ...} feature maps."""

from keras_seg.backbones.build import build
from keras_seg.backbones.table import find, list_backbones

__all__ = ["build", "find", "list_backbones"]
