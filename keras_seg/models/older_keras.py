"""Rewrites a `.keras` file so that every supported version of Keras reads the same model.

Keras writes every option of a layer, also those that a later version added and that have their
default value. An older Keras refuses such a file: "Unrecognized keyword arguments". Without these
entries each version fills in its default, which computes the same.

Keras 3.10 writes a single input or output as a list and reads it as a tensor. Later versions read
that list as it is: the model would return a list, and Keras would warn at every call with a tensor.
All of them read what is written without a list as a tensor.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

CONFIG = "config.json"
CHUNK = 2**20

_AXES = {"input_axes": None, "output_axes": None}  # since 3.15
_QUANTIZED = {"quantization_config": None}  # since 3.12
_INITIALIZERS = ("Glorot", "He", "Lecun")

ADDED_OPTIONS: dict[str, dict[str, Any]] = {
    # since 3.14
    "BatchNormalization": {"renorm": False, "renorm_clipping": None, "renorm_momentum": 0.99},
    "VarianceScaling": _AXES,
    **{f"{name}{kind}": _AXES for name in _INITIALIZERS for kind in ("Uniform", "Normal")},
    "Dense": _QUANTIZED,
    "EinsumDense": _QUANTIZED,
    "Embedding": _QUANTIZED,
    "MultiHeadAttention": {"use_gate": False, "sliding_window": None},  # since 3.15
    "GroupedQueryAttention": {"use_gate": False, "sliding_window": None},
    # since 3.13; 3.10 takes it by the base class only for some
    **{f"Conv{rank}DTranspose": {"output_padding": None} for rank in (1, 2, 3)},
}
"""Class → options that Keras has added since the oldest supported version, with their defaults."""


def without_added_options(config: Any) -> Any:
    """A copy of a model's configuration without options of ADDED_OPTIONS that have their default.

    Args:
        config: what `json` has read from `config.json`: dicts, lists and plain values.
    """
    if isinstance(config, list):
        return [without_added_options(item) for item in config]
    if not isinstance(config, dict):
        return config
    reduced = {key: without_added_options(value) for key, value in config.items()}
    options = reduced.get("config")
    if isinstance(options, dict):
        for name, default in ADDED_OPTIONS.get(reduced.get("class_name"), {}).items():
            if name in options and options[name] == default:
                del options[name]
    return reduced


def with_plain_tensors(config: dict) -> dict:
    """The configuration of a model, with a single input and a single output outside of lists."""
    options = config.get("config", {})
    for entry in ("input_layers", "output_layers"):
        match options.get(entry):
            case [[str(), int(), int()] as tensor]:
                options = options | {entry: tensor}
                config = config | {"config": options}
    return config


def open_to_older_keras(path: Path) -> None:
    """Rewrites the configuration in a `.keras` archive where versions of Keras read it differently.

    Call it on a draft: the file is replaced at the end.
    """
    copy = path.with_name(f"{path.name}.older")
    if write_for_older_keras(path, copy):
        copy.replace(path)


def write_for_older_keras(path: Path, copy: Path) -> bool:
    """Writes a copy of a `.keras` archive that every supported version of Keras reads.

    The weights are copied byte by byte.

    Returns: False, without a copy, if all versions read the archive as it is.
    """
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read(CONFIG))
        reduced = with_plain_tensors(without_added_options(config))
        if reduced == config:
            return False
        with zipfile.ZipFile(copy, "w") as target:
            for entry in archive.infolist():
                if entry.filename == CONFIG:
                    target.writestr(entry, json.dumps(reduced))
                    continue
                with archive.open(entry) as old, target.open(entry, "w", force_zip64=True) as new:
                    shutil.copyfileobj(old, new, CHUNK)
    return True
