"""Scripts that complete verbs, options and their values in a shell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import shtab

from keras_seg.cli.errors import choices
from keras_seg.cli.parser import make_parser

FILES = ("config", "data", "file", "inputs", "initial_weights", "output", "run")
"""Arguments that name a file or folder, though some take other names, too."""


def completion_script(shell: str) -> str:
    """The script that completes `keras-seg` in a shell.

    Args:
        shell: bash, zsh, fish, tcsh or powershell.

    Raises: ValueError for another shell.
    """
    if shell not in shtab.SUPPORTED_SHELLS:
        known = ", ".join(shtab.SUPPORTED_SHELLS)
        raise ValueError(
            f"--print_completion takes one of {known}. Received: {shell or 'nothing'}."
        )
    parser = make_parser()
    for verb in parser.verbs:
        for action in list(verb._actions):
            if any(option.endswith("+") for option in action.option_strings):
                verb._actions.remove(action)  # --classes+ appends to --classes: few need it
            else:
                _describe(action)
    return shtab.complete(parser, shell)


def _describe(action: Any) -> None:
    """Names the values of an action where shtab looks for them."""
    hint = getattr(action, "_typehint", None)
    if values := choices(action):
        action.choices = values
    elif hint is bool:
        action.choices = ["true", "false"]
    elif Path in (hint, *getattr(hint, "__args__", ())) or action.dest in FILES:
        action.complete = shtab.FILE
