"""Keeps freed memory for the next training step, on CPUs."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Option numbers from glibc's malloc.h."""
OPTIONS = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1}


def keep_freed_memory() -> bool:
    """Makes glibc keep freed memory until the process ends, which speeds up training on CPUs.

    TensorFlow on CPU allocates every tensor by malloc, which by default maps large blocks anew each
    time. The kernel then clears the same memory in every step: on two cores this takes up to 40 %
    of the training time. `train` calls this function if there is no GPU. Call it before your own
    `fit`.

    Returns: whether it took effect; False if the C library is not glibc (macOS, Windows, musl).

    Example:

        keras_seg.training.keep_freed_memory()
        model.fit(batches)
    """
    try:
        library = ctypes.CDLL(None)
        mallopt, _ = library.mallopt, library.gnu_get_libc_version  # only glibc has it
    except (AttributeError, OSError, TypeError):
        return False
    return all(mallopt(option, value) for option, value in OPTIONS.items())
