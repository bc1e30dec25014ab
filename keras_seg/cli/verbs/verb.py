"""What a verb consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


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
    """

    function: Callable[..., int]
    arguments: dict[str, dict[str, Any]] = field(default_factory=dict)
    short: str = ""

    @property
    def description(self) -> str:
        """The first line of the function's docstring."""
        return (self.function.__doc__ or "").splitlines()[0]

    @property
    def summary(self) -> str:
        """The verb in the list of verbs."""
        first, rest = self.description[:1], self.description[1:].rstrip(".")
        return self.short or first.lower() + rest
