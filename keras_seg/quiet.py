"""Drops log lines that C++ libraries write although TF_CPP_MIN_LOG_LEVEL is 3."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

LOG_LINE = re.compile(
    rb"[IW]\d{4} |WARNING: All log messages before absl|\d{4}-\d\d-\d\d .*: [IW] "
    rb"|INFO: Created TensorFlow Lite|fully_quantize: \d"
)
SHOWN = ("0", "1")
"""Levels of TF_CPP_MIN_LOG_LEVEL at which these lines are wanted."""


@contextmanager
def without_log_lines() -> Iterator[None]:
    """Drops log lines of the levels I and W, where TF_CPP_MIN_LOG_LEVEL asks for silence.

    All other lines are kept, and are written at the end. C++ does not use `sys.stderr`, so what is
    written to file descriptor 2 is collected.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") in SHOWN:
        yield
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as collected:
        os.dup2(collected.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            collected.seek(0)
            for line in collected:
                if not LOG_LINE.match(line):
                    os.write(2, line)
