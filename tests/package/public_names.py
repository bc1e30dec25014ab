"""The public names of the package, one a line; `python -m tests.package.public_names` writes them.

Public are: the names in `__all__` of the package and its subpackages, with their arguments; the
verbs and flags of the command line; the keys of a recipe; the keys of a model card.
"""

import dataclasses
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Iterator
from pathlib import Path

import keras_seg
from keras_seg.card import ModelCard
from keras_seg.cli.parser import make_parser
from keras_seg.training import Recipe

FILE = Path(__file__).with_name("public_names.txt")


def public_names() -> list[str]:
    """Every public name, sorted within its kind."""
    return [
        *sorted(importable_names()),
        *sorted(command_line()),
        *sorted(f"recipe: {key}" for key in keys(Recipe)),
        *sorted(f"card: {field.name}" for field in dataclasses.fields(ModelCard)),
    ]


def importable_names() -> Iterator[str]:
    modules = {name for _, name, package in pkgutil.iter_modules(keras_seg.__path__) if package}
    for name in ("keras_seg", *(f"keras_seg.{each}" for each in {*modules, "export", "blocks"})):
        module = importlib.import_module(name)
        for public in getattr(module, "__all__", ()):
            yield f"{name}.{public}{arguments(getattr(module, public))}"


def arguments(value: object) -> str:
    """The arguments of a function or class of this package, such as "(model, path, *, format)"."""
    if inspect.isclass(value) and not {"__init__", "__new__"} & {*vars(value)}:
        return ""  # inherited: the arguments of another package's class
    if not inspect.isclass(value) and not inspect.isfunction(value):
        return ""
    parameters = inspect.signature(value).parameters.values()
    bare = [each.replace(annotation=each.empty, default=each.empty) for each in parameters]
    return str(inspect.Signature(bare))


def command_line() -> Iterator[str]:
    """`keras-seg <verb> <argument>` of every verb, and the options of `keras-seg` itself."""
    parser = make_parser()
    (subcommands,) = (action for action in parser._actions if action.dest == "verb")
    for verb, of_verb in (("", parser), *subcommands.choices.items()):
        for action in of_verb._actions:
            for word in action.option_strings or [action.dest]:
                if word not in ("-h", "--help", "verb") and not word.endswith("+"):
                    yield " ".join(part for part in ("keras-seg", verb, word) if part)


def keys(record: type) -> Iterator[str]:
    """The keys of a dataclass; those of a dataclass inside it after its own key and a dot."""
    types = typing.get_type_hints(record)
    for field in dataclasses.fields(record):
        yield field.name
        for inner in typing.get_args(types[field.name]) or (types[field.name],):
            if dataclasses.is_dataclass(inner):
                yield from (f"{field.name}.{key}" for key in keys(inner))


if __name__ == "__main__":
    FILE.write_text("\n".join(public_names()) + "\n")
