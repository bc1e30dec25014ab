"""Encoders: image → feature maps {"stride_2": ..., ..., "stride_32": ...}."""

from keras_seg.backbones.build import build
from keras_seg.backbones.table import find, list_backbones
from keras_seg.names_elsewhere import unknown_names

__all__ = ["build", "find", "list_backbones"]

__getattr__ = unknown_names(__name__)
