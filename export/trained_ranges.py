"""Whether a model brings the ranges of its tensors along, so that no images need to tell them."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import keras

from keras_seg.layers import FakeQuantize
from keras_seg.models import files

DAMAGE = (*files.DAMAGE, KeyError, TypeError)
"""What reading a configuration raises that is not as a functional model's."""


def is_quantization_aware(model: keras.Model) -> bool:
    """Whether a model comes from `quantization_aware`, also after saving and loading."""
    return any(isinstance(layer, FakeQuantize) for layer in model.layers)


def has_trained_ranges(model: keras.Model | str | Path) -> bool:
    """Whether a model, or the model in a .keras file, comes from `quantization_aware`.

    A file is not loaded for this; one that is no .keras file is left to those who load it.
    """
    if isinstance(model, keras.Model):
        return is_quantization_aware(model)
    if not zipfile.is_zipfile(model):
        return False
    with zipfile.ZipFile(model) as archive:
        if "config.json" not in archive.namelist():
            return False
        try:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
            return any(layer["class_name"] == FakeQuantize.__name__ for layer in layers)
        except DAMAGE:  # or no model of layers in a list
            return False


def check_quantization(quantize: str | None, format: str) -> None:
    """Raises ValueError unless trained ranges can go into the file that was asked for."""
    if (quantize, format) != ("int8", "tflite"):
        raise ValueError(
            "A quantization-aware model was trained for one kind of file: TFLite in int8. "
            f"Received: format={format!r}, quantize={quantize!r}. Pass quantize='int8', or export "
            "the network that it was made from."
        )
