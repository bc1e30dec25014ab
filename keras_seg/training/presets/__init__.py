"""Recipes of the papers as YAML files. Imports no TensorFlow."""

from __future__ import annotations

from pathlib import Path

from keras_seg.names import unknown_name

FOLDER = Path(__file__).parent


def list_presets() -> list[str]:
    """The names of all presets, sorted, for `keras-seg train --preset`."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def preset_path(name: str) -> Path:
    """The file of a preset.

    Raises: ValueError that suggests the nearest name.
    """
    if name not in list_presets():
        raise ValueError(unknown_name("preset", name, list_presets()))
    return FOLDER / f"{name}.yaml"


def summary(name: str) -> str:
    """What a preset trains and its paper: the first line of its file."""
    return preset_path(name).read_text().splitlines()[0].removeprefix("# ")
