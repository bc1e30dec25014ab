"""Keras layers with state or a rule of their own, one idea a file."""

from keras_seg.layers.preprocessing import Preprocessing
from keras_seg.layers.resize import Resize
from keras_seg.layers.size_guard import SizeGuard

__all__ = ["Preprocessing", "Resize", "SizeGuard"]
