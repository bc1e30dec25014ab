"""Memory that a step frees is kept for the next step, on CPUs."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Numbers of these options in glibc's malloc.h."""
OPTIONS = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1}


def keep_freed_memory() -> bool:
    """Tells glibc not to hand freed memory back to the kernel until the process ends.

    TensorFlow on CPU allocates every tensor by malloc, which by default maps large ones anew each
    time. The kernel then clears the same memory in every step: on two cores up to two fifths of
    the training time. `train` calls this where there is no GPU; call it before a `fit` of your own.

    Returns: whether it took effect; False where the C library is not glibc (macOS, Windows, musl).
    """
    try:
        library = ctypes.CDLL(None)
        mallopt, _ = library.mallopt, library.gnu_get_libc_version  # which glibc alone has
    except (AttributeError, OSError, TypeError):
        return False
    return all(mallopt(option, value) for option, value in OPTIONS.items())
