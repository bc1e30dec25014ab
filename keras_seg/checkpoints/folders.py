"""Reads checkpoints with the settings beside them, as hubs write both."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from keras_seg.weights import read

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""Files that `save_pretrained` of huggingface_hub and timm write; the first is preferred."""


def read_with_settings(checkpoint: Mapping | str | Path) -> tuple[dict[str, np.ndarray], dict]:
    """(tensors, settings) of a checkpoint: a folder, a file or a mapping.

    Settings come from a config.json in the folder, or beside a .safetensors file, which is reported
    by a warning; {} if there is none.

    Raises: ValueError as `keras_seg.weights.read` does, for a folder without weights and for
        settings that are not a JSON object; FileNotFoundError.
    """
    if isinstance(checkpoint, Mapping):
        return read(checkpoint), {}
    if hasattr(checkpoint, "state_dict"):
        return read(checkpoint), {}  # raises with the remedy
    path = Path(checkpoint)
    if path.is_dir():
        files = [path / name for name in WEIGHTS if (path / name).is_file()]
        if not files:
            names = sorted(entry.name for entry in path.iterdir())[:8]
            raise ValueError(
                f"The folder {path} holds none of {', '.join(WEIGHTS)}, which save_pretrained "
                f"writes. It holds: {names}. Pass the checkpoint file itself."
            )
        path = files[0]
        return read(path), read_settings(path.with_name(CONFIG))
    tensors = read(path)
    if path.name not in WEIGHTS and path.suffix != ".safetensors":
        return tensors, {}
    settings = read_settings(path.with_name(CONFIG))
    if settings:
        warnings.warn(f"The options of {path.with_name(CONFIG)} are used.", stacklevel=3)
    return tensors, settings


def read_settings(path: Path) -> dict:
    if not path.is_file():
        return {}
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"{path} holds no settings by name. Received: {settings!r:.80}")
    return settings
