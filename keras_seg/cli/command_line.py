"""Runs the verb of a command line and returns its exit code."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from keras_seg.cli.output import INTERRUPTED, WRONG_INPUT, complain
from keras_seg.cli.quick_help import quick_help
from keras_seg.cli.verbs import VERBS
from keras_seg.version import __version__

EXPECTED_ERRORS = (ValueError, OSError, RuntimeError, ImportError)
"""Errors with a message for the user; ImportError for a missing optional package."""


def main(argv: list[str] | None = None) -> int:
    """Runs one verb.

    Args:
        argv: the arguments after `keras-seg`; None for those of this process.

    Returns: exit code: 0 done, 1 refused or partly failed, 2 wrong input, 130 interrupted.
    """
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] in (["-h"], ["--help"]):
        sys.stdout.write(quick_help())
        sys.exit(0)
    if arguments[:1] == ["--version"]:
        sys.stdout.write(f"keras-seg {__version__}\n")
        sys.exit(0)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _one_line_warnings():
            return _run(arguments)
    except KeyboardInterrupt:  # also during the imports, which take seconds
        complain("keras-seg: interrupted. All saved files are kept.")
        return INTERRUPTED


def _run(arguments: list[str]) -> int:
    from keras_seg.cli.parser import make_parser

    parser = make_parser(_verb(arguments))
    try:
        parsed = parser.parse_args(arguments)
    except ValueError as error:  # about a recipe file or preset
        complain(f"keras-seg: {error}")
        return WRONG_INPUT
    verb = parsed.verb
    try:
        options = vars(parser.instantiate_classes(parsed)[verb])
        options.pop("config", None)
        return VERBS[verb].function(**options)
    except EXPECTED_ERRORS as error:
        if parsed.traceback:
            import traceback

            traceback.print_exc()
        complain(f"keras-seg {verb}: {error}")
        return WRONG_INPUT


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Prints UserWarnings without the file and line of the code that raised them."""
    before = warnings.formatwarning

    def one_line(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        line: str | None = None,
    ) -> str:
        if category is UserWarning:
            return f"keras-seg: {message}\n"
        return before(message, category, filename, lineno, line)

    warnings.formatwarning = one_line
    try:
        yield
    finally:
        warnings.formatwarning = before


def _verb(arguments: list[str]) -> str | None:
    """The verb that the arguments name; None for an unknown one."""
    first = next((word for word in arguments if word == "--" or not word.startswith("-")), None)
    return first if first in VERBS else None
