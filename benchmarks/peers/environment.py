"""Creates the environments of peers from the requirement files in `benchmarks/peers`."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent
PYTHONS = {"addons": ("python3.11", "python3.10", "python3.9")}
"""Environment → the only interpreters that its packages have wheels for."""


def default_cache() -> Path:
    """The folder of the benchmarks in the user's cache folder."""
    if sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "keras-seg-benchmarks"


def peer_python(name: str, cache: Path) -> Path:
    """The interpreter of the environment of `requirements-<name>.txt`, created if needed.

    A changed file makes a new environment.

    Raises: RuntimeError if pip fails, or if no Python is found that the packages have wheels for.
    """
    file = REQUIREMENTS / f"requirements-{name}.txt"
    folder = cache / f"{name}-{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if complete.exists():
        return python
    print(f"Installing {file.name} in {folder} (once, some minutes)", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    for command in (
        [interpreter(name), "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(file)],
    ):
        if subprocess.run(command, check=False).returncode:
            raise RuntimeError(
                f"{' '.join(command)} failed. Repair that, name an interpreter that has these "
                "packages, or leave them out."
            )
    complete.touch()
    return python


def interpreter(name: str) -> str:
    """The Python of a new environment: this one, if the packages have wheels for it."""
    wanted = PYTHONS.get(name)
    if wanted is None or f"python3.{sys.version_info.minor}" in wanted:
        return sys.executable
    found = next(filter(None, map(shutil.which, wanted)), None)
    if found is None:
        raise RuntimeError(
            f"The packages of requirements-{name}.txt need one of {', '.join(wanted)}, but none is "
            "on PATH. Install one, or leave the packages out."
        )
    return found
