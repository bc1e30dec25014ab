"""Exports a model in its run folder, with defaults taken from the run."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from keras_seg import training
from keras_seg.data.as_dataset import images_of_folder
from keras_seg.export.aware.rewrite import quantization_aware
from keras_seg.export.exporter import export
from keras_seg.export.kinds import SUFFIXES
from keras_seg.export.options import ExportOptions
from keras_seg.export.report import ExportReport
from keras_seg.inference.keras_runner import model_shapes
from keras_seg.models.files import load, read_card
from keras_seg.models.functional import as_functional
from keras_seg.shipped_models import shipped_file
from keras_seg.training.run_folder import evaluation_data, recipe_beside

FINE_TUNING = 0.1
"""Share of a run's epochs and learning rate that its quantization-aware training takes."""


def export_run(
    model_path: Path,
    options: ExportOptions,
    *,
    output: Path | None = None,
    data: str | None = None,
) -> ExportReport:
    """Exports a model in the folder of its run.

    Args:
        options: without a size, the file has the size that images had in training, or else the size
            of the training crops. Without a format and an output, it is TFLite.
        output: None for a file beside the model, called `model_int8_argmax.tflite` or the like.
        data: None for the data of the run. Without a run, and for a folder of images without masks,
            the accuracy is not measured.

    Raises: as `export`.
    """
    recipe, card = recipe_beside(model_path), read_card(model_path)
    channels = model_shapes(as_functional(load(model_path)))[0][2]
    if options.input_shape is None:
        size = (card and card.image_size) or (recipe and recipe.crop)
        shape = None if size is None else (*size, channels)
        options = dataclasses.replace(options, input_shape=shape)
    train_set = val_set = None
    if data is not None and images_of_folder(Path(data)):  # to calibrate on, not to measure on
        train_set = data
    elif data is not None or recipe is not None:
        value_range, nodata = (card.value_range, card.nodata) if card else (None, None)
        multi_label = options.multi_label or (card and card.multi_label) or None
        train_set, val_set = (
            evaluation_data(
                model_path, data, split, channels, value_range, multi_label, nodata=nodata
            )
            for split in ("train", "val")
        )
    return export(
        model_path,
        output or model_path.with_name(file_name(model_path, options)),
        options,
        calibration=train_set,
        evaluation=val_set,
    )


def file_name(model_path: Path, options: ExportOptions) -> str:
    """Name of the file beside a model; it contains the options that change the content."""
    head = None if options.head == "logits" else options.head
    layout = None if options.layout == "nhwc" else options.layout
    target = None if options.target == "cpu" else options.target
    parts = filter(None, [model_path.stem, options.quantize, head, layout, target])
    return f"{'_'.join(parts)}{SUFFIXES[options.format or 'tflite']}"


def aware_run_folder(model_path: Path) -> Path:
    """Folder for the quantization-aware training of a run's model: `<run>_int8`.

    For a model that the package holds it is in the working directory.
    """
    if shipped_file(model_path) is not None:
        return Path(f"{model_path}_quantized")
    run = model_path.resolve().parent
    return run.with_name(f"{run.name}_int8")


def train_quantized(
    model_path: Path,
    output: Path,
    epochs: int | None = None,
    learning_rate: float | None = None,
) -> training.TrainingResult:
    """Fine-tunes the model of a run as `quantization_aware`, with the data and recipe of the run.

    Args:
        output: folder of the new run.
        epochs: None for a tenth of the recipe's.
        learning_rate: None for a tenth of the recipe's.

    Raises: ValueError for a model that is not in a run folder; as `training.train` otherwise.
    """
    recipe = recipe_beside(model_path)
    if recipe is None:
        raise ValueError(
            f"{model_path} is not in a run folder, so its data and recipe are unknown. Pass "
            "--data FOLDER with images, which need no masks, or the model.keras of a run."
        )
    tuned = dataclasses.replace(
        recipe,
        output=str(output),
        initial_weights=str(model_path),
        epochs=math.ceil(FINE_TUNING * recipe.epochs) if epochs is None else epochs,
        learning_rate=FINE_TUNING * recipe.learning_rate
        if learning_rate is None
        else learning_rate,
        schedule_options=dataclasses.replace(recipe.schedule_options, warmup_epochs=0.0),
        mixed_precision=False,
        recalibrate=False,  # the copy has no batch norm
        overwrite=False,
    )
    return training.train(tuned, rewrite=quantization_aware)
