"""`keras-seg train`: trains a network from a recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seg.cli.output import DONE, INTERRUPTED, REFUSED, say
from keras_seg.cli.verbs.verb import Verb

if TYPE_CHECKING:  # imported when they are needed
    from jsonargparse import ArgumentParser

    from keras_seg.training import TrainingResult


def train_verb(**entries: Any) -> int:
    """Train a network from a recipe.

    Args:
        entries: the entries of `keras_seg.training.Recipe`.
    """
    # Without this TensorFlow uses the faster convolutions only on processors with AVX-512.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    from keras_seg import training

    recipe = training.Recipe(**entries)
    longer = (
        "To train longer, pass more --epochs (schedules constant, step and plateau), or start "
        f"another run: --initial_weights {recipe.output}/model.keras --output "
        f"{recipe.output}_longer. To train anew, pass --overwrite true."
    )
    return report_training(training.train(recipe), recipe.output, longer)


def report_training(result: TrainingResult, output: str | os.PathLike, longer: str) -> int:
    """Prints the result of a training and returns the exit code.

    Args:
        result: the result.
        output: folder of the run.
        longer: what to pass for more training, if the run was finished before.
    """
    if result.finished and not result.new_steps:
        say(f"{output} was finished before. {longer}")
    if result.interrupted:
        say(f"Interrupted after {result.epochs} epochs.")
    if not result.finished:
        say("Run the same command again to resume from the last checkpoint.")
    if result.model_path is None:
        say("No epoch was completed, so no model was saved.")
        return INTERRUPTED if result.interrupted else REFUSED
    say(
        f"Best validation mIoU {result.best_miou:.4f} in epoch {result.best_epoch}: "
        f"{result.model_path}"
    )
    if result.finished:
        say(
            f"Next: keras-seg report {output} for curves and pictures, keras-seg export "
            f"{result.model_path} --quantize int8 for a device.",
            soft_wrap=True,
        )
    return INTERRUPTED if result.interrupted else DONE


def add_recipe(verb: Verb, parser: ArgumentParser) -> None:
    """Adds the entries of `Recipe` as options, which may also come from a file or a preset."""
    import jsonargparse

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

    parser.add_argument(
        "--config",
        "--preset",
        action=RecipeFile,
        help="YAML file with the options below, or a name of `keras-seg presets`; options on the "
        "command line override it",
    )
    parser.add_class_arguments(Recipe)


VERB = Verb(
    train_verb,
    short="images and masks in, model.keras out",
    backends=("tensorflow", "jax"),
    define=add_recipe,
)
