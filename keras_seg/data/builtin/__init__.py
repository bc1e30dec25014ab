"""Data sets that are drawn, not downloaded: cells, streets and faces, for demos and tests."""

from keras_seg.data.builtin.dataset import KINDS, SPLITS, BuiltinDataset
from keras_seg.data.builtin.threshold import otsu_threshold_mask

__all__ = ["KINDS", "SPLITS", "BuiltinDataset", "otsu_threshold_mask"]
