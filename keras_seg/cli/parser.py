"""The argument parser: each verb's from the signature and docstring of its function."""

from __future__ import annotations

import re
from argparse import Action
from pathlib import Path
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
        prog="keras-seg", description=ABOUT, version=__version__, formatter_class=HelpFormatter
    )
    parser.add_argument(
        "--traceback", action="store_true", help="show where in the code an error arose"
    )
    subcommands = parser.add_subcommands(dest="verb", metavar="VERB")
    for name in VERBS if verb is None else [verb]:
        make = _train_parser if name == "train" else _verb_parser
        subcommands.add_subcommand(name, make(name), help=VERBS[name].summary)
    return parser


def _verb_parser(name: str) -> jsonargparse.ArgumentParser:
    verb = VERBS[name]
    parser = jsonargparse.ArgumentParser(description=verb.description)
    skipped = {argument.lstrip("-") for argument in verb.arguments}
    parser.add_function_arguments(verb.function, as_positional=True, skip=skipped)
    for argument, options in verb.arguments.items():
        parser.add_argument(argument, **options)
    return parser


def _train_parser(name: str) -> jsonargparse.ArgumentParser:
    """The entries of `Recipe` as options, which may also come from a file or a preset."""
    from keras_seg.training.presets import preset_path
    from keras_seg.training.recipe import Recipe
    from keras_seg.training.recipe_io import check_keys, read_yaml

    class RecipeFile(jsonargparse.ActionConfigFile):
        """Reads a recipe file or a preset. Suggests the nearest name for an unknown entry."""

        def __call__(
            self, parser: Any, cfg: Any, values: Any, option_string: str | None = None
        ) -> None:
            if option_string == "--preset":
                values = str(preset_path(values))
            if Path(values).is_file():
                check_keys(read_yaml(values), Recipe, f"entry of {values}")
            super().__call__(parser, cfg, values, option_string)

    parser = jsonargparse.ArgumentParser(description=VERBS[name].description)
    parser.add_argument(
        "--config",
        "--preset",
        action=RecipeFile,
        help="YAML file with the options below, or a name of `keras-seg presets`; options on the "
        "command line override it",
    )
    parser.add_class_arguments(Recipe)
    return parser


def _as_typed(name: str) -> str:
    """ "train.output" → "--output"; a positional argument keeps its name."""
    verb, _, argument = name.partition(".")
    is_option = verb == "train" or (verb in VERBS and f"--{argument}" in VERBS[verb].arguments)
    return f"--{argument}" if is_option else argument or name
