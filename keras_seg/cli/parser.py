"""The parser of the command line. The arguments of each verb are defined in its file."""

from __future__ import annotations

import sys
from argparse import SUPPRESS, Action
from collections.abc import Sequence
from typing import Any, NoReturn

import jsonargparse

from keras_seg.cli.errors import message_for_user
from keras_seg.cli.help import verb_help
from keras_seg.cli.output import WRONG_INPUT, complain
from keras_seg.cli.quick_help import quick_help
from keras_seg.cli.typed_arguments import as_parsed
from keras_seg.cli.verbs import ABOUT, VERBS
from keras_seg.version import __version__


class Parser(jsonargparse.ArgumentParser):
    """Takes arguments as people type them, and tells errors in a line."""

    verbs: Sequence[VerbParser] = ()

    def parse_args(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        typed = list(sys.argv[1:] if args is None else args)
        for verb in self.verbs:
            if verb.name in typed:
                start = typed.index(verb.name) + 1
                rewritten = as_parsed(typed[start:], verb.by_name)
                verb.refuse_hidden(rewritten)
                if "--traceback" in rewritten:  # belongs before the verb
                    rewritten.remove("--traceback")
                    typed.insert(0, "--traceback")
                    start += 1
                typed[start:] = rewritten
                break
        return super().parse_args(typed, *rest, **options)

    def format_help(self) -> str:
        return quick_help()

    def error(self, message: str, *rest: Any) -> NoReturn:
        if len(self.verbs) == 1:
            self.verbs[0].error(message)
        complain(f"keras-seg: {message}")
        sys.exit(WRONG_INPUT)


class VerbParser(jsonargparse.ArgumentParser):
    """The parser of one verb.

    Attributes:
        name: the verb.
        needed: names of the arguments that have to be given. The parser forgets them while it
            parses, which is when it prints its help.
    """

    name = ""
    needed: frozenset[str] = frozenset()

    @property
    def by_name(self) -> dict[str, Action]:
        """Option or positional argument → its action."""
        return {
            name: action
            for action in self._actions
            for name in (action.option_strings or [action.dest])
        }

    def refuse_hidden(self, arguments: Sequence[str]) -> None:
        """Exits with an error for an option that only a recipe file may have."""
        for typed in arguments:
            option = typed.partition("=")[0]
            action = self.by_name.get(option.partition(".")[0])
            if typed.startswith("--") and action is not None and action.help == SUPPRESS:
                self.error(f"unrecognized arguments: {option}")

    def format_help(self) -> str:
        verb = VERBS[self.name]
        return verb_help(self.name, verb.description, self._actions, self.needed, verb.topics)

    def error(self, message: str, *rest: Any) -> NoReturn:
        shown = {name: each for name, each in self.by_name.items() if each.help != SUPPRESS}
        text = message_for_user(message, shown)
        complain(f"keras-seg {self.name}: {text}\nAll options: keras-seg {self.name} --help")
        sys.exit(WRONG_INPUT)


def make_parser(verb: str | None = None) -> Parser:
    """Creates the parser of one verb, because each takes time; of all verbs for None."""
    parser = Parser(
        prog="keras-seg",
        description=ABOUT,
        version=__version__,
        allow_abbrev=False,  # a misspelt option must not become another one
    )
    parser.add_argument(
        "--traceback", action="store_true", help="show where in the code an error arose"
    )
    parser.add_argument(
        "--print_completion",
        metavar="SHELL",
        default=SUPPRESS,
        help="print the completion script of bash, zsh, fish, tcsh or powershell",
    )
    subcommands = parser.add_subcommands(dest="verb", metavar="VERB")
    for name in VERBS if verb is None else [verb]:
        subparser = VerbParser(description=VERBS[name].description, allow_abbrev=False)
        subparser.name = name
        VERBS[name].add_arguments(subparser)
        _shorten_help(subparser)
        subparser.needed = frozenset(each.dest for each in subparser._actions if each.required)
        subcommands.add_subcommand(name, subparser, help=VERBS[name].summary)
        parser.verbs = (*parser.verbs, subparser)
    return parser


def _shorten_help(parser: VerbParser) -> None:
    """Rewrites the texts of the options that every parser has."""
    texts = {
        "--help": "show this help",
        "--print_config": "print the recipe that the other options make, and exit",
    }
    for option, text in texts.items():
        if action := parser.by_name.get(option):
            action.help, action.metavar = text, ""
