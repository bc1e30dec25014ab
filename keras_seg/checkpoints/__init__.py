"""Turns published checkpoints of other frameworks into models, strictly by layer name."""

from keras_seg.checkpoints.convert import convert
from keras_seg.checkpoints.registry import list_sources

__all__ = ["convert", "list_sources"]
