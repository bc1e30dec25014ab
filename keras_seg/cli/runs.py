"""Verbs that make a run, or tell of one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from keras_seg.cli.answers import (
    DONE,
    INTERRUPTED,
    REFUSED,
    check_apart,
    check_counts,
    say,
)

if TYPE_CHECKING:
    from keras_seg.training import Recipe


def train_verb(recipe: Recipe) -> int:
    # By itself TensorFlow takes the faster convolutions only on processors with AVX-512.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    from keras_seg import training

    return _tell(training.train(recipe), recipe.output)


def _tell(result, output) -> int:
    if result.finished and not result.new_steps:
        say(f"{output} was finished before; more --epochs go on, --overwrite true trains anew.")
    if result.interrupted:
        say(f"Interrupted after {result.epochs} epochs.")
    if not result.finished:
        say("The same command goes on from the last checkpoint.")
    if result.model_path is None:
        say("No epoch was completed, so no model was saved.")
        return INTERRUPTED if result.interrupted else REFUSED
    say(
        f"Best validation mIoU {result.best_miou:.4f} in epoch {result.best_epoch}: "
        f"{result.model_path}"
    )
    return INTERRUPTED if result.interrupted else DONE


def quantize_aware_verb(
    file: Path,
    output: Path | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
) -> int:
    """Train a trained model on with the roundings of int8, for files that lose less.

    Args:
        file: the trained model.keras, in the folder of its run.
        output: folder of the new run; by default beside the first, its name with _int8.
        epochs: passes over the training images; by default a tenth of the run's.
        learning_rate: at the first step; by default a tenth of the run's.
    """
    from keras_seg.export.run_folder import aware_run_folder, train_quantized

    output = output or aware_run_folder(file)
    return _tell(train_quantized(file, output, epochs, learning_rate), output)


def report_verb(
    run: Path, output: Path | None = None, data: str | None = None, limit: int | None = None
) -> int:
    """Write one HTML page of a run: curves, classes, images, files, recipe.

    Args:
        run: folder of the run.
        output: HTML file; by default report.html in the run.
        data: folder or built-in data set; by default the data of the run.
        limit: look at this many validation images; all by default.
    """
    from keras_seg.training.run_folder import MADE, MODEL_NAME, evaluation_data

    output = output or run / "report.html"
    check_apart(run=run, **{name: run / name for name in MADE}, output=output)
    check_counts(limit=limit)
    from keras_seg import inference
    from keras_seg.report.page import write_report

    runner = inference.load(run / MODEL_NAME)
    dataset = evaluation_data(
        run / MODEL_NAME, data, "val", runner.input_shape[2], value_range=runner.card.value_range
    )
    write_report(run, output, runner, dataset, limit=limit)
    say(f"Report: {output}", soft_wrap=True)
    return DONE


def demo_verb(output: Path = Path("keras-seg-demo"), epochs: int = 14) -> int:
    """Train, evaluate, export and prove a small U-Net on the built-in cells.

    Args:
        output: folder for everything that the demo makes.
        epochs: passes over the built-in training images.
    """
    from keras_seg.demo import run_demo

    return DONE if run_demo(output, epochs=epochs) else REFUSED
