"""Runs a measurement in its own process, which isolates its memory and its errors."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ANSWER = "measured:"
"""Beginning of the line on standard output that is the answer."""
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": "tensorflow"}
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RESET_PEAK = "5"
MIB = 2**20


def ask(
    module: str,
    arguments: Sequence[str],
    *,
    timeout: float,
    variables: Mapping[str, str] | None = None,
) -> dict:
    """The answer of `python -m module *arguments`, or {"error": the reason}.

    Args:
        variables: environment variables, with which PYTHONPATH alone says where modules are.
    """
    path = [] if variables is None else ["-P"]
    command = [sys.executable, *path, "-m", module, *arguments]
    environment = os.environ | QUIET | dict(variables or {})
    try:
        process = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, env=environment
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not finished after {timeout:g} s"}
    for line in process.stdout.splitlines():
        if line.startswith(ANSWER):
            return json.loads(line.removeprefix(ANSWER))
    if process.returncode < 0:
        return {"error": f"ended by signal {-process.returncode} (9: out of memory)"}
    said = [line for line in process.stderr.splitlines() if line.strip()]
    return {"error": said[-1][:300] if said else f"ended with code {process.returncode}"}


def answer(found: dict) -> None:
    print(f"{ANSWER}{json.dumps(found)}", flush=True)


def resident_mib() -> float:
    """Memory that this process holds now."""
    return _status("VmRSS") or peak_mib()


def forget_peak() -> None:
    """Restarts the count of `peak_mib`, if the system can."""
    with contextlib.suppress(OSError):
        CLEAR.write_text(RESET_PEAK)


def peak_mib() -> float:
    """The most memory that this process has held since `forget_peak`."""
    # Linux counts kB here and in ru_maxrss, macOS bytes in the latter
    unit = 1 if sys.platform == "darwin" else 1024
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


def _status(entry: str) -> float | None:
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith(entry)), None)
