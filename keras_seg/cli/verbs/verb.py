"""What a verb consists of."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from keras_seg.backends import BACKENDS

if TYPE_CHECKING:  # takes most of the time of `keras-seg --help`
    from jsonargparse import ArgumentParser


def add_signature(verb: Verb, parser: ArgumentParser, skip: Iterable[str] = ()) -> None:
    """Adds the arguments of a verb's function, except those in `skip`, and its explicit ones."""
    explicit = {argument.lstrip("-") for argument in verb.arguments}
    parser.add_function_arguments(verb.function, as_positional=True, skip={*explicit, *skip})
    for argument, options in verb.arguments.items():
        parser.add_argument(argument, **options)


@dataclass(frozen=True)
class Verb:
    """A verb of `keras-seg`.

    Attributes:
        function: runs the verb and returns its exit code. Its signature and docstring define the
            arguments: those without a default are positional. Its name ends in `_verb`, because
            jsonargparse would import a module of the same name.
        arguments: arguments that a signature cannot express (several positional values, required
            options, flags): name → options of `add_argument`.
        short: the verb in the list of verbs; by default the first line of the docstring.
        backends: the backends of Keras that the verb runs on. One that runs on TensorFlow alone
            does so whatever KERAS_BACKEND says.
        takes_given: whether the function also takes `given`, the arguments that the user named, in
            files or on the command line, without defaults.
        topics: titles of the help → the names of the options below each, without hyphens; a name
            that ends in a dot stands for all options that begin with it.
        define: adds all arguments to a parser; by default `add_signature`.
    """

    function: Callable[..., int]
    arguments: dict[str, dict[str, Any]] = field(default_factory=dict)
    short: str = ""
    backends: tuple[str, ...] = tuple(BACKENDS)
    takes_given: bool = False
    topics: dict[str, tuple[str, ...]] = field(default_factory=dict)
    define: Callable[[Verb, ArgumentParser], None] = add_signature

    @property
    def description(self) -> str:
        """The first line of the function's docstring."""
        return (self.function.__doc__ or "").splitlines()[0]

    @property
    def summary(self) -> str:
        """The verb in the list of verbs."""
        first, rest = self.description[:1], self.description[1:].rstrip(".")
        return self.short or first.lower() + rest

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Adds the arguments of the verb to its parser."""
        self.define(self, parser)
