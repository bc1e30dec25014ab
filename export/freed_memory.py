"""Gives memory that a step of an export has freed back to the system."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

STATUS = Path("/proc/self/statm")
WORTH_IT = 128 * 1024**2
"""Bytes that the process must have grown since the last time. A collection takes half a second."""
_after_last = 0


def give_back_freed_memory() -> None:
    """Collects garbage, and lets glibc return free pages; other C libraries decide by themselves.

    glibc keeps most of what a converter frees for the next allocation, in pieces that are too small
    for the next large array. Without this the process grows with every step. Nothing is done on
    Linux if the process has hardly grown, as in exports of small networks.
    """
    global _after_last
    if STATUS.exists() and _resident() - _after_last < WORTH_IT:
        return
    gc.collect()  # graphs of TensorFlow and tf2onnx, whose nodes refer to each other
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return
    if STATUS.exists():
        _after_last = _resident()


def _resident() -> int:
    """Bytes of memory that this process holds."""
    return int(STATUS.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
