"""The parser of the command line. The arguments of each verb are defined in its file."""

from __future__ import annotations

import re
from argparse import Action
from typing import Any

import jsonargparse

from keras_seg.cli.verbs import ABOUT, VERBS
from keras_seg.version import __version__


class HelpFormatter(jsonargparse.DefaultHelpFormatter):
    """Writes types for users: "Path" and "logits or probabilities", not Python's annotations."""

    def _get_help_string(self, action: Action) -> str:
        text = super()._get_help_string(action)
        return text.replace(", default: %(default)s", "") if action.default is None else text

    def _get_type_str(self, action: Action) -> str | None:
        text = super()._get_type_str(action)
        if text is None or text.startswith("Literal["):
            return None  # the choices are shown beside the option
        text = re.sub(r"<class '(\w+)'>", r"\1", text)
        text = re.sub(r"Optional\[(.*)\]$", r"\1", text).replace(" | null", "")
        return re.sub(r"Literal\[(.*?)\]", lambda match: _choices(match[1]), text)


def _choices(literals: str) -> str:
    """ "'a', 'b'" → "a or b"."""
    return literals.replace("'", "").replace(", ", " or ")


class Parser(jsonargparse.ArgumentParser):
    """Names a missing argument as the user types it: `--output`, not `train.output`."""

    def error(self, message: str, *rest: Any) -> None:
        start, required, names = message.partition("required: ")
        if required:
            names = ", ".join(map(_as_typed, names.split(", ")))
        super().error(f"{start}{required}{names}", *rest)


def make_parser(verb: str | None = None) -> jsonargparse.ArgumentParser:
    """Creates the parser of one verb, because each takes time; of all verbs for None."""
    parser = Parser(
        prog="keras-seg",
        description=ABOUT,
        version=__version__,
        formatter_class=HelpFormatter,
        allow_abbrev=False,  # a misspelt option must not become another one
    )
    parser.add_argument(
        "--traceback", action="store_true", help="show where in the code an error arose"
    )
    subcommands = parser.add_subcommands(dest="verb", metavar="VERB")
    for name in VERBS if verb is None else [verb]:
        subparser = jsonargparse.ArgumentParser(
            description=VERBS[name].description, allow_abbrev=False
        )
        VERBS[name].add_arguments(subparser)
        subcommands.add_subcommand(name, subparser, help=VERBS[name].summary)
    return parser


def _as_typed(name: str) -> str:
    """ "train.output" → "--output"; a positional argument keeps its name."""
    verb, _, argument = name.partition(".")
    is_option = verb == "train" or (verb in VERBS and f"--{argument}" in VERBS[verb].arguments)
    return f"--{argument}" if is_option else argument or name
