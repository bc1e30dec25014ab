"""Recipes of the papers, as YAML files. Imports no TensorFlow."""

from __future__ import annotations

from pathlib import Path

from keras_seg.names import unknown_name

FOLDER = Path(__file__).parent


def list_presets() -> list[str]:
    """Names that `keras-seg train --preset` takes, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def preset_path(name: str) -> Path:
    """The file of a preset, or a ValueError that names the nearest one."""
    if name not in list_presets():
        raise ValueError(unknown_name("preset", name, list_presets()))
    return FOLDER / f"{name}.yaml"


def summary(name: str) -> str:
    """The first line of a preset's file: what it trains, and the paper."""
    return preset_path(name).read_text().splitlines()[0].removeprefix("# ")
