"""Gives memory that a step of an export has freed back to the system."""

from __future__ import annotations

import ctypes
import gc


def give_back_freed_memory() -> None:
    """Collects garbage, and lets glibc return free pages; other C libraries decide by themselves.

    glibc keeps most of what a converter frees for the next allocation, in pieces that are too small
    for the next large array. Without this the process grows with every step.
    """
    gc.collect()  # graphs of TensorFlow and tf2onnx, whose nodes refer to each other
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return
