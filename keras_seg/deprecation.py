"""Deprecation warnings that point to the caller's line, however deep in the package they arise."""

from __future__ import annotations

import sys
import warnings

PACKAGE = __name__.partition(".")[0]


def warn_deprecated(message: str) -> None:
    """Issues a DeprecationWarning that points to the first caller outside of the package.

    Python hides a DeprecationWarning unless it points into `__main__`. Pointing past the package
    shows it to the person who can change the line: in a script, a notebook and on the command line.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, DeprecationWarning, stacklevel=level)
