"""`keras-seg --help` without jsonargparse, whose import takes most of the time.

A test compares the text with the one that the full parser prints.
"""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser

from keras_seg.cli.verbs import ABOUT, VERBS


def quick_help() -> str:
    """The same text as `make_parser().format_help()`."""
    parser = ArgumentParser(
        prog="keras-seg",
        usage="keras-seg [--traceback] [--print_completion SHELL] VERB ...",
        description=ABOUT,
        add_help=False,
    )
    for flags, text in (
        (("-h", "--help"), "Show this help message and exit."),
        (("--version",), "Print version and exit."),
        (("--traceback",), "show where in the code an error arose (default: False)"),
    ):
        parser.add_argument(*flags, action="store_true", default=SUPPRESS, help=text)
    parser.add_argument(
        "--print_completion",
        metavar="SHELL",
        help="print the completion script of bash, zsh, fish, tcsh or powershell",
    )
    verbs = parser.add_subparsers(
        title="subcommands",
        description="For more details of each subcommand, add it as an argument followed by "
        "--help.",
        metavar="Available subcommands:",
        help="(required)",
    )
    for name, verb in VERBS.items():
        verbs.add_parser(name, help=verb.summary, add_help=False)
    return parser.format_help()
