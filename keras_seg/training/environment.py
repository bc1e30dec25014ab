"""The backend, devices and versions that a run was trained with, as a file in its folder."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

from keras_seg.atomic_files import write_text
from keras_seg.training.engines import Engine
from keras_seg.training.run_folder import ENVIRONMENT_NAME
from keras_seg.version import __version__

LIBRARIES = ("keras", "tensorflow", "jax", "numpy")


def write_environment(folder: Path, engine: Engine) -> None:
    """Writes the Keras backend, the number of devices, and the versions of imported libraries."""
    imported = {name: sys.modules[name] for name in LIBRARIES if name in sys.modules}
    record = {
        "backend": engine.name,
        "devices": engine.devices,
        "python": platform.python_version(),
        "keras_seg": __version__,
        **{name: module.__version__ for name, module in imported.items()},
    }
    write_text(folder / ENVIRONMENT_NAME, json.dumps(record, indent=1) + "\n")
