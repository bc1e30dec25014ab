"""Reads masks that were written before."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_seg.card import ModelCard
from keras_seg.data.reading.masks import read_mask
from keras_seg.inference.files.label_masks import mask_endings


def read_prediction(base: Path, card: ModelCard) -> np.ndarray:
    """The mask in the files of a prediction: (H, W) classes or (H, W, labels)."""
    endings = mask_endings(card.classes, card.multi_label)
    masks = [read_mask(base.with_name(base.name + ending)) for ending in endings]
    return np.stack(masks, -1) if card.multi_label else masks[0]
