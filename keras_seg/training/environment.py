"""The backend, devices and versions that a run was trained with, as a file in its folder."""

from __future__ import annotations

import json
import platform
import sys
from datetime import datetime
from pathlib import Path

from keras_seg.atomic_files import write_text
from keras_seg.training.engines import Engine
from keras_seg.training.run_folder import ENVIRONMENT_NAME
from keras_seg.version import __version__

LIBRARIES = ("keras", "tensorflow", "jax", "numpy")
CPU_FACTS = Path("/proc/cpuinfo")


def write_environment(folder: Path, engine: Engine) -> None:
    """Writes the backend, the devices, the versions of imported libraries and the start's time.

    A training that resumes keeps the time of its first start.
    """
    path = folder / ENVIRONMENT_NAME
    imported = {name: sys.modules[name] for name in LIBRARIES if name in sys.modules}
    record = {
        "backend": engine.name,
        "devices": engine.devices,
        "device": device_name(engine.name),
        "started": _earlier_start(path) or datetime.now().astimezone().isoformat("T", "seconds"),
        "python": platform.python_version(),
        "keras_seg": __version__,
        **{name: module.__version__ for name, module in imported.items()},
    }
    write_text(path, json.dumps(record, indent=1) + "\n")


def device_name(backend: str) -> str:
    """The name of the first GPU or TPU of the backend, otherwise that of the CPU."""
    if backend == "jax":
        import jax

        name = jax.devices()[0].device_kind
        return _cpu_name() if name.lower() == "cpu" else name
    import tensorflow as tf

    for kind in ("GPU", "TPU"):
        for device in tf.config.list_physical_devices(kind):
            return tf.config.experimental.get_device_details(device).get("device_name", kind)
    return _cpu_name()


def _cpu_name() -> str:
    """The model of the CPU where Linux states it, otherwise what Python knows."""
    try:
        lines = CPU_FACTS.read_text().splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return next(iter(models), "") or platform.processor() or platform.machine()


def _earlier_start(path: Path) -> str | None:
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    started = record.get("started") if isinstance(record, dict) else None
    return started if isinstance(started, str) else None
