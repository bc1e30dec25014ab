"""`keras-seg --help`, without the library that reads the verbs' arguments."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser

from keras_seg.cli.verbs import ABOUT, TRAIN_HELP, VERBS, summary


def first_help() -> str:
    """The very text that the parser of all verbs would print, in a tenth of its time."""
    parser = ArgumentParser(
        prog="keras-seg",
        usage="keras-seg [--traceback] VERB ...",
        description=ABOUT,
        add_help=False,
    )
    for words, about in (
        (("-h", "--help"), "Show this help message and exit."),
        (("--version",), "Print version and exit."),
        (("--traceback",), "show where in the code an error arose (default: False)"),
    ):
        parser.add_argument(*words, action="store_true", default=SUPPRESS, help=about)
    verbs = parser.add_subparsers(
        title="subcommands",
        description="For more details of each subcommand, add it as an argument followed by "
        "--help.",
        metavar="Available subcommands:",
        help="(required)",
    )
    verbs.add_parser("train", help=TRAIN_HELP, add_help=False)
    for name in VERBS:
        verbs.add_parser(name, help=summary(name), add_help=False)
    return parser.format_help()
