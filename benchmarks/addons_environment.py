"""An environment of its own for TensorFlow Addons, which cannot be imported beside Keras 3."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = ("tensorflow==2.15.1", "tensorflow-addons==0.23.0", "numpy<2")
"""The last TensorFlow that the last release of TensorFlow Addons works with."""
PYTHONS = ("python3.11", "python3.10", "python3.9")
"""Interpreters that these packages have wheels for."""


def default_cache() -> Path:
    """The user's cache folder of this system, and in it a folder of ours."""
    if sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "keras-seg-benchmarks"


def addons_python(cache: Path) -> Path:
    """The interpreter of the environment in the cache folder, which is made if it is not there.

    Raises: RuntimeError without a Python that TensorFlow Addons has a wheel for, or if pip fails.
    """
    folder = cache / "tensorflow-addons-0.23.0"
    python, complete = folder / "bin" / "python", folder / "complete"
    if complete.exists():
        return python
    print(f"Installing {', '.join(PACKAGES)} in {folder} (once, some minutes)", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    for command in (
        [_interpreter(), "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", *PACKAGES],
    ):
        if subprocess.run(command, check=False).returncode:
            raise RuntimeError(f"{' '.join(command)} failed. Or leave it out: --without-addons.")
    complete.touch()
    return python


def _interpreter() -> str:
    if f"python3.{sys.version_info.minor}" in PYTHONS:
        return sys.executable
    found = next(filter(None, map(shutil.which, PYTHONS)), None)
    if found is None:
        raise RuntimeError(
            f"TensorFlow Addons needs one of {', '.join(PYTHONS)}, and none is on the PATH. "
            "Install one, or leave it out: --without-addons."
        )
    return found
