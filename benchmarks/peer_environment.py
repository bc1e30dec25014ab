"""Environments of peers, made from the requirement files in `benchmarks/peers`."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "peers"


def peer_python(name: str, cache: Path) -> Path:
    """The interpreter of the environment that `requirements-<name>.txt` describes, made if needed.

    A changed file makes a new environment. Raises: RuntimeError if pip fails.
    """
    file = REQUIREMENTS / f"requirements-{name}.txt"
    folder = cache / f"{name}-{hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"
    python, complete = folder / "bin" / "python", folder / "complete"
    if complete.exists():
        return python
    print(f"Installing {file.name} in {folder} (once, some minutes)", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(file)],
    ):
        if subprocess.run(command, check=False).returncode:
            raise RuntimeError(
                f"{' '.join(command)} failed. Or name an interpreter that has these packages."
            )
    complete.touch()
    return python
