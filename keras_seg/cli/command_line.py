"""Runs the verb of a command line and returns its exit code."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from keras_seg.backends import TENSORFLOW, choose_backend, need_tensorflow
from keras_seg.cli.output import (
    CLOSED_PIPE,
    DONE,
    INTERRUPTED,
    STANDARD_STREAM,
    WRONG_INPUT,
    complain,
    text_on_stderr,
)
from keras_seg.cli.quick_help import quick_help
from keras_seg.cli.quiet_import import quieten_tensorflow
from keras_seg.cli.verbs import VERBS
from keras_seg.names import nearest_name
from keras_seg.version import __version__

EXPECTED_ERRORS = (ValueError, OSError, RuntimeError, ImportError)
"""Errors with a message for the user; ImportError for a missing optional package."""
FOREIGN_VERBS = {
    "fit": "train",
    "val": "evaluate",
    "validate": "evaluate",
    "test": "evaluate",
    "infer": "predict",
    "inference": "predict",
    "segment": "predict",
    "detect": "predict",
    "check": "verify-dataset",
    "quantize": "export",
    "compile": "export",
    "serve": "web",
    "list": "models",
}
"""Verb of another tool → the verb here."""


def main(argv: list[str] | None = None) -> int:
    """Runs one verb.

    Args:
        argv: the arguments after `keras-seg`; None for those of this process.

    Returns: exit code: 0 done, 1 refused or partly failed, 2 wrong input, 130 interrupted, 141
        the reader of a pipe has ended.
    """
    try:
        try:
            return _main(argv)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # such as `keras-seg train --help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE


def _main(argv: list[str] | None) -> int:
    arguments = _usual_words(sys.argv[1:] if argv is None else argv)
    if arguments[:1] in (["-h"], ["--help"]):
        sys.stdout.write(quick_help())
        sys.exit(0)
    if arguments[:1] == ["--version"]:
        sys.stdout.write(f"keras-seg {__version__}\n")
        sys.exit(0)
    if arguments[:1] == ["--print_completion"]:
        return _print_completion(arguments[1:])
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") not in ("0", "1"):
        quieten_tensorflow()
    try:
        with _one_line_warnings():
            return _run(arguments)
    except KeyboardInterrupt:  # also during the imports, which take seconds
        complain("keras-seg: interrupted. All saved files are kept.")
        return INTERRUPTED


def _usual_words(arguments: list[str]) -> list[str]:
    """`help train` → `train --help`, and `version` → `--version`, as other tools have them."""
    if arguments[:1] == ["help"]:
        return [*arguments[1:2], "--help"]
    return ["--version"] if arguments == ["version"] else arguments


def _print_completion(shells: list[str]) -> int:
    from keras_seg.cli.completion import completion_script

    try:
        sys.stdout.write(completion_script("".join(shells[:1])) + "\n")
    except ValueError as error:
        complain(f"keras-seg: {error}")
        return WRONG_INPUT
    return DONE


def _run(arguments: list[str]) -> int:
    from keras_seg.cli.parser import make_parser

    verb = _verb(arguments)
    if verb not in VERBS:
        if verb is None:
            sys.stdout.write(quick_help())
            complain("keras-seg: name one of these verbs, for example keras-seg demo")
        else:
            nearest = FOREIGN_VERBS.get(verb) or nearest_name(verb, VERBS)
            hint = f" Did you mean {nearest}?" if nearest else ""
            complain(f"keras-seg: unknown verb {verb}.{hint} All verbs: keras-seg --help")
        return WRONG_INPUT
    parser = make_parser(verb)
    try:
        parsed = parser.parse_args(arguments)
    except ValueError as error:  # about a recipe file or preset
        complain(f"keras-seg: {error}")
        return WRONG_INPUT
    verb = parsed.verb
    try:
        options = vars(parser.instantiate_classes(parsed)[verb])
        options.pop("config", None)
        if VERBS[verb].takes_given:
            options["given"] = parser.parse_args(arguments, defaults=False)[verb].as_dict()
        _choose_backend(verb)
        with _streams(verb, options):
            return VERBS[verb].function(**options)
    except BrokenPipeError:
        raise
    except EXPECTED_ERRORS as error:
        if parsed.traceback:
            import traceback

            traceback.print_exc()
        complain(f"keras-seg {verb}: {error}")
        return WRONG_INPUT


def _streams(verb: str, options: dict) -> AbstractContextManager[None]:
    """Keeps standard output free of text if `-` names it as the file of a result.

    Raises: ValueError if the verb writes no single file that others can read from a pipe.
    """
    if str(options.get("output")) == STANDARD_STREAM and verb != "predict":
        raise ValueError(
            "--output - is standard output, which takes the mask of predict alone. Give a file or "
            "folder; ./- is a file of that name."
        )
    results = (options.get("output"), options.get("json_file"))
    return text_on_stderr() if STANDARD_STREAM in map(str, results) else nullcontext()


def _choose_backend(verb: str) -> None:
    """Sets the backend of this process, and says in one line if it is not what the user named.

    Raises: ImportError if the verb needs TensorFlow and it is not installed.
    """
    backends = VERBS[verb].backends
    if backends == (TENSORFLOW,):
        need_tensorflow(f"The files and layers of {verb}")
    replaced = choose_backend(backends)
    if replaced:
        complain(f"keras-seg {verb}: {replaced}")


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
    """The verb that the arguments name, known or not; None if they name none."""
    return next((word for word in arguments if word != "--" and not word.startswith("-")), None)
