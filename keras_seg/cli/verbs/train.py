"""`keras-seg train`: trains a network from a recipe."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from keras_seg.cli.output import DONE, INTERRUPTED, REFUSED, say
from keras_seg.cli.verbs.verb import Verb

if TYPE_CHECKING:  # imported when a training runs
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
    return report_training(training.train(recipe), recipe.output)


def report_training(result: TrainingResult, output: str | os.PathLike) -> int:
    """Prints the result of a training and returns the exit code."""
    if result.finished and not result.new_steps:
        say(
            f"{output} was finished before. Pass more --epochs to train longer, or --overwrite "
            "true to train anew."
        )
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
    return INTERRUPTED if result.interrupted else DONE


VERB = Verb(train_verb, short="images and masks in, model.keras out")
