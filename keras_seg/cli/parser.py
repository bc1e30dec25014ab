"""The parser of one verb, from its function's signature and docstring, or of all."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_type_hints

import jsonargparse

from keras_seg.cli.files import FLOAT32
from keras_seg.cli.verbs import ABOUT, EXPLICIT, TRAIN_HELP, VERBS, summary
from keras_seg.version import __version__


class Parser(jsonargparse.ArgumentParser):
    """Says what is missing as it is typed: `--output`, where jsonargparse has "train.output"."""

    def error(self, message, *rest):
        said, required, names = message.partition("required: ")
        if required:
            names = ", ".join(map(_as_typed, names.split(", ")))
        super().error(f"{said}{required}{names}", *rest)


def make_parser(verb: str | None = None) -> jsonargparse.ArgumentParser:
    """Knows only the given verb, because each costs time; all if it is None."""
    parser = Parser(prog="keras-seg", description=ABOUT, version=__version__)
    parser.add_argument(
        "--traceback", action="store_true", help="show where in the code an error arose"
    )
    verbs = parser.add_subcommands(dest="verb", metavar="VERB")
    if verb in (None, "train"):
        verbs.add_subcommand("train", _train_parser(), help=TRAIN_HELP)
    for name in VERBS if verb is None else {verb} & {*VERBS}:
        make = _export_parser if name == "export" else _verb_parser
        verbs.add_subcommand(name, make(name), help=summary(name))
    return parser


def _train_parser() -> jsonargparse.ArgumentParser:
    from keras_seg.training.presets import preset_path
    from keras_seg.training.recipe import Recipe
    from keras_seg.training.records import check_keys
    from keras_seg.training.yaml_files import read_yaml

    class RecipeFile(jsonargparse.ActionConfigFile):
        """A recipe file or a preset's name; unknown entries are answered with the nearest."""

        def __call__(self, parser, cfg, values, option_string=None):
            if option_string == "--preset":
                values = str(preset_path(values))
            if Path(values).is_file():
                check_keys(read_yaml(values), Recipe, f"entry of {values}")
            super().__call__(parser, cfg, values, option_string)

    parser = jsonargparse.ArgumentParser(description="Train a network from a recipe.")
    parser.add_argument(
        "--config",
        "--preset",
        action=RecipeFile,
        help="YAML file with the same words, or a name of `keras-seg presets`; flags win",
    )
    parser.add_class_arguments(Recipe)
    return parser


def _verb_parser(name: str, skip: Iterable[str] = ()) -> jsonargparse.ArgumentParser:
    function, explicit = VERBS[name], EXPLICIT.get(name, {})
    parser = jsonargparse.ArgumentParser(description=function.__doc__.splitlines()[0])
    skipped = {*skip, *(argument.lstrip("-") for argument in explicit)}
    parser.add_function_arguments(function, as_positional=True, skip=skipped)
    for argument, options in explicit.items():
        parser.add_argument(argument, **options)
    return parser


def _export_parser(name: str) -> jsonargparse.ArgumentParser:
    """The arguments of the verb, and the fields of `ExportOptions` with their docstring."""
    from keras_seg.export.options import ExportOptions, choices

    types = get_type_hints(ExportOptions)
    for option, names in choices().items():
        literal = Literal[tuple(filter(None, names))]
        types[option] = literal | None if None in names else literal
    fields = {field.name: field.default for field in dataclasses.fields(ExportOptions)}
    parser = _verb_parser(name, skip=fields)
    types["quantize"], fields["quantize"] = (
        Literal[FLOAT32, *filter(None, choices()["quantize"])],
        FLOAT32,
    )
    arguments = dataclasses.make_dataclass(
        ExportOptions.__name__,
        [(option, types[option], default) for option, default in fields.items()],
        namespace={"__doc__": ExportOptions.__doc__},
    )
    parser.add_class_arguments(arguments)
    return parser


def _as_typed(name: str) -> str:
    verb, _, argument = name.partition(".")
    option = verb == "train" or f"--{argument}" in EXPLICIT.get(verb, {})
    return f"--{argument}" if option else argument or name
