"""From the words of a command line to a verb's exit code."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from keras_seg.cli.answers import INTERRUPTED, WRONG_INPUT, complain
from keras_seg.cli.first_help import first_help
from keras_seg.cli.runs import train_verb
from keras_seg.cli.verbs import VERBS
from keras_seg.version import __version__

EXPECTED_ERRORS = (ValueError, OSError, RuntimeError, ImportError)  # the last: extras


def main(argv: list[str] | None = None) -> int:
    """Runs one verb and returns its exit code: 0 done, 1 refused, 2 wrong input."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] in (["-h"], ["--help"]):
        sys.stdout.write(first_help())
        sys.exit(0)
    if words[:1] == ["--version"]:
        sys.stdout.write(f"keras-seg {__version__}\n")
        sys.exit(0)
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _one_line_warnings():
            return _run(words)
    except KeyboardInterrupt:  # also while libraries are imported, which takes seconds
        complain("keras-seg: interrupted; nothing that was saved is lost.")
        return INTERRUPTED


def _run(words: list[str]) -> int:
    from keras_seg.cli.parser import make_parser

    parser = make_parser(_verb(words))
    try:
        options = parser.parse_args(words)
    except ValueError as error:  # of a recipe file or preset
        complain(f"keras-seg: {error}")
        return WRONG_INPUT
    verb = options.verb
    try:
        arguments = vars(parser.instantiate_classes(options)[verb])
        arguments.pop("config", None)
        if verb == "train":
            from keras_seg.training.recipe import Recipe

            return train_verb(Recipe(**arguments))
        return VERBS[verb](**arguments)
    except EXPECTED_ERRORS as error:
        if options.traceback:
            import traceback

            traceback.print_exc()
        complain(f"keras-seg {verb}: {error}")
        return WRONG_INPUT


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Warnings for users without the file and line of the code that gave them."""
    before = warnings.formatwarning

    def one_line(message, category, *place, **more) -> str:
        if category is UserWarning:
            return f"keras-seg: {message}\n"
        return before(message, category, *place, **more)

    warnings.formatwarning = one_line
    try:
        yield
    finally:
        warnings.formatwarning = before


def _verb(words: list[str]) -> str | None:
    """The verb that is asked for; None if the words begin with none that there is."""
    first = next((word for word in words if word == "--" or not word.startswith("-")), None)
    return first if first in VERBS or first == "train" else None
