"""`keras-seg train`: trains a network from a recipe."""

from __future__ import annotations

import os
import sys
from argparse import SUPPRESS
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_seg.cli.checks import check_data
from keras_seg.cli.output import DONE, INTERRUPTED, REFUSED, STANDARD_STREAM, complain, say
from keras_seg.cli.verbs.verb import Verb
from keras_seg.model_paths import check_model_entry

if TYPE_CHECKING:  # imported when they are needed
    from jsonargparse import ArgumentParser

    from keras_seg.training import CrossValidation, Recipe, TrainingResult


def train_verb(given: dict[str, Any], folds: int | None = None, **entries: Any) -> int:
    """Train a network from a recipe, or from the data alone.

    Args:
        given: the entries that the user named. Without a recipe file, preset or network, the others
            are chosen from the data.
        folds: number of folds of a cross-validation; None for one training.
        entries: the entries of `keras_seg.training.Recipe`, with defaults.
    """
    check_data(given.get("data"))
    from keras_seg.published_weights import is_published

    for entry in ("initial_weights", "teacher"):
        if not is_published(given.get(entry)):
            check_model_entry(given.get(entry), entry)
    # Without this TensorFlow uses the faster convolutions only on processors with AVX-512.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    from keras_seg import training

    given = {key: value for key, value in given.items() if key != "folds"}
    recipe = _chosen(given, folds) if _is_open(given) else training.Recipe(**entries)
    if folds is not None:
        return _report_folds(training.cross_validate(recipe, folds), recipe.output)
    longer = (
        "To train longer, pass more --epochs (schedules constant, step and plateau), or start "
        f"another run: --initial_weights {recipe.output}/model.keras --output "
        f"{recipe.output}_longer. To train anew, pass --overwrite true."
    )
    return report_training(training.train(recipe), recipe.output, longer)


def _is_open(given: dict[str, Any]) -> bool:
    """Whether neither a recipe nor a network is given, or the recipe says `model: auto`."""
    return given.get("model") == "auto" or not {"config", "model", "model_options"} & given.keys()


def _chosen(given: dict[str, Any], folds: int | None) -> Recipe:
    """The given entries and those chosen from the data, which are told."""
    from keras_seg.training.chosen_recipe import choose_recipe, chosen_lines

    entries = {key: given[key] for key in given if key != "config"}
    if folds is not None:  # all folds have the recipe of the first, also when they resume
        entries["output"] = str(Path(given["output"], "fold_1"))
        entries.setdefault("fold", f"1/{max(folds, 2)}")
    recipe = choose_recipe(**entries)
    complain(chosen_lines(recipe).rstrip("\n"))
    if folds is None:
        return recipe
    return replace(recipe, output=given["output"], fold=given.get("fold"))


def _report_folds(result: CrossValidation, output: str) -> int:
    """Prints mean and deviation of the scores, and returns the exit code."""
    from rich.table import Table

    table = Table("", *(score.fold for score in result.scores), "mean", "deviation")
    for name, spread in result.spread().items():
        values = [each.miou if name == "mIoU" else each.iou[name] for each in result.scores]
        table.add_row(name, *map(_percent, [*values, spread["mean"], spread["deviation"]]))
    if result.scores:
        table.caption = "validation IoU in %, at the best epoch of each fold"
        say(table)
        say(f"Best fold: {result.best.output}. Scores: {output}/folds.json", soft_wrap=True)
        say(f"Compare the folds:  keras-seg report {output}/fold_*", soft_wrap=True)
    if result.finished:
        return DONE
    say("Run the same command again to resume from the last checkpoint.")
    return INTERRUPTED if result.interrupted else DONE


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


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
        # a command to a line, so that each can be copied
        say(f"Curves and pictures:  keras-seg report {output}", soft_wrap=True)
        export = f"keras-seg export {result.model_path} --quantize int8"
        say(f"A file for a device:  {export}", soft_wrap=True)
    return INTERRUPTED if result.interrupted else DONE


def add_recipe(verb: Verb, parser: ArgumentParser) -> None:
    """Adds the entries of `Recipe` as options, which may also come from a file or a preset."""
    import jsonargparse

    from keras_seg.training.presets import preset_path
    from keras_seg.training.recipe import Recipe
    from keras_seg.training.recipe_io import check_keys, parse_yaml, read_yaml

    class RecipeFile(jsonargparse.ActionConfigFile):
        """Reads a recipe file, a preset, or `-`, which is standard input.

        Suggests the nearest name for an unknown entry.
        """

        _typed: str | None = None

        def __call__(
            self, parser: Any, cfg: Any, values: Any, option_string: str | None = None
        ) -> None:
            if option_string == "--preset":
                values = str(preset_path(values))
            if values == STANDARD_STREAM:
                if self._typed is None:  # the line may be parsed twice
                    self._typed = sys.stdin.read()
                values = self._typed
                check_keys(parse_yaml(values, "standard input"), Recipe, "entry of the recipe")
            elif Path(values).is_file():
                check_keys(read_yaml(values), Recipe, f"entry of {values}")
            super().__call__(parser, cfg, values, option_string)

    parser.add_argument(
        "--config",
        "--preset",
        action=RecipeFile,
        help="YAML file with the options below, - for standard input, or a name of `keras-seg "
        "presets`; options on the command line override it",
    )
    parser.add_argument(
        "--folds",
        type=int,
        help="train once per fold of a cross-validation, and print mean and deviation",
    )
    parser.add_class_arguments(Recipe)
    for action in parser._actions:
        if action.dest in RECORDED:
            action.help = SUPPRESS


RECORDED = ("chosen",)
"""Entries that a run writes into its recipe. They are read from a file, and are not options."""
TOPICS: dict[str, tuple[str, ...]] = {
    "Recipe": ("config", "print_config", "preset"),
    "Data": (
        *("data", "classes", "num_classes", "multi_label", "channels", "value_range", "window"),
        *("nodata", "on_error", "cache_gib"),
    ),
    "Cross-validation": ("folds", "fold", "fold_group"),
    "Output": ("output", "overwrite", "overlays", "callbacks"),
    "Network": ("model", "model_options", "initial_weights", "freeze"),
    "Training images": ("resize", "crop", "batch_size", "balance", "border_weights", "transform"),
    "Length": (
        *("epochs", "steps_per_epoch", "max_minutes", "early_stop", "monitor"),
        "checkpoint_steps",
    ),
    "Loss": ("loss", "auxiliary_weight", "metrics"),
    "Knowledge distillation": ("teacher", "teacher_weight", "teacher_temperature"),
    "Optimizer": (
        *("optimizer", "learning_rate", "weight_decay", "optimizer_options."),
        *("schedule", "schedule_options."),
    ),
    "Batch norm": ("batch_norm_momentum", "recalibrate", "sync_batch_norm"),
    "Random changes of each crop": ("augmentation.",),
    "Memory of a step": ("gradient_accumulation", "recompute"),
    "Devices, speed and repeatability": (
        *("strategy", "mixed_precision", "jit", "steps_per_execution", "seed", "deterministic"),
    ),
}
VERB = Verb(
    train_verb,
    short="images and masks in, model.keras out",
    backends=("tensorflow", "jax"),
    takes_given=True,
    define=add_recipe,
    topics=TOPICS,
)
