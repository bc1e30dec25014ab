"""Data sets that need no download: drawn cells, streets and faces, and photographs of nuclei."""

from keras_seg.data.builtin.dataset import DRAWN_KINDS, KINDS, SPLITS, BuiltinDataset
from keras_seg.data.builtin.threshold import otsu_threshold_mask

__all__ = ["DRAWN_KINDS", "KINDS", "SPLITS", "BuiltinDataset", "otsu_threshold_mask"]
