"""A recipe of a training that takes a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keras_seg.training import Recipe


def short_recipe(data: Path, output: Path, **entries: Any) -> Recipe:
    """A tiny U-Net without pictures; `entries` are added, or win."""
    tiny = {
        "model_options": {"widths": [4, 8]},
        "crop": (32, 32),
        "batch_size": 4,
        "overlays": 0,
    }
    return Recipe(data=str(data), output=str(output), **tiny | entries)
