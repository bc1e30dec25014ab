"""Scripts that complete verbs, options and their values in a shell."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import shtab

from keras_seg.cli.errors import choices
from keras_seg.cli.overview import SIZES
from keras_seg.cli.parser import VerbParser, make_parser

FILES = ("config", "data", "file", "inputs", "initial_weights", "output", "run", "runs", "samples")
"""Arguments that name a file or folder, though some take other names, too."""
PIXELS = ("backbone", "unit", "symmetric", "imagenet", "caffe", "null")
BUILDER = {
    "backbone_weights": ("imagenet", "null"),
    "preprocessing": PIXELS,
    "activation": ("null", "softmax", "sigmoid"),
    "upsampling": ("transposed", "bilinear", "nearest"),
    "output_stride": ("8", "16", "32"),
}
"""Option of a network's builder → its usual values."""


def completion_script(shell: str) -> str:
    """The script that completes `keras-seg` in a shell. Imports no TensorFlow.

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
        names = known_names(verb.name)
        for action in list(verb._actions):
            if any(option.endswith("+") for option in action.option_strings):
                verb._actions.remove(action)  # --classes+ appends to --classes: few need it
            elif "--preset" in action.option_strings:  # completed by names, and --config by files
                action.option_strings = ["--config"]
                _describe(action, ())
            else:
                _describe(action, names.pop(action.dest, ()))
        _add_options(verb, names)
    return shtab.complete(parser, shell)


def known_names(verb: str) -> dict[str, Iterable[str]]:
    """Argument of a verb → the names that it is usually given, though it takes others, too."""
    from keras_seg.losses.spec import LOSS_TABLE
    from keras_seg.training import recipe
    from keras_seg.training.presets import list_presets

    sizes = json.loads(SIZES.read_text())
    builder = {"backbone": [*sizes["encoders"]], **BUILDER}
    if verb == "train":
        return {
            "model": [*sizes["networks"], "auto"],
            "loss": [*LOSS_TABLE, "cross_entropy+dice"],
            "optimizer": recipe.OPTIMIZERS,
            "schedule": recipe.SCHEDULES,
            "freeze": recipe.FREEZES,
            "strategy": recipe.STRATEGIES,
            "on_error": recipe.ON_ERROR,
            "preset": list_presets(),
            **{f"model_options.{option}": values for option, values in builder.items()},
        }
    if verb == "models":
        named: dict[str, Iterable[str]] = {"name": sizes["networks"]}
        return named | {f"options.{option}": values for option, values in builder.items()}
    return {"source": sizes["sources"]} if verb == "convert" else {}


def _describe(action: Any, names: Iterable[str]) -> None:
    """Names the values of an action where shtab looks for them."""
    hint = getattr(action, "_typehint", None)
    if values := [*names] or choices(action):
        action.choices = values
    elif hint is bool:
        action.choices = ["true", "false"]
    elif Path in (hint, *getattr(hint, "__args__", ())) or action.dest in FILES:
        action.complete = shtab.FILE


def _add_options(verb: VerbParser, values: dict[str, Iterable[str]]) -> None:
    """Adds options that the parser reads as entries of a mapping, such as --options.backbone."""
    for option, names in values.items():
        verb._actions.append(
            argparse._StoreAction([f"--{option}"], dest=option, choices=[*names], help="")
        )
