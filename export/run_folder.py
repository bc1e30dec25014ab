"""`keras-seg export`: what a run's folder knows fills in what was not said."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from keras_seg import training
from keras_seg.data.as_dataset import images_of_folder
from keras_seg.export.aware.rewrite import quantization_aware
from keras_seg.export.exporter import export
from keras_seg.export.report import ExportReport
from keras_seg.inference.keras_runner import model_shapes
from keras_seg.models.files import load, read_card
from keras_seg.models.functional import as_functional
from keras_seg.training.run_folder import evaluation_data, recipe_beside

FINE_TUNING = 0.1
"""Share of a run's epochs and learning rate that its training with roundings takes."""


def export_run(
    model_path: Path,
    *,
    output: Path | None,
    format: str | None,
    quantize: str | None,
    input_shape: list[int] | None,
    input: str,
    head: str | None,
    data: str | None,
    max_drop: float,
    sizing: str,
    limit: int | None,
    layout: str = "nhwc",
    subpixel: bool = True,
    scores: str | None = None,
    multi_label: bool | None = None,
) -> ExportReport:
    """Exports a model that lies in the folder of its run.

    Args:
        output: None for a file beside the model, called `model_int8_argmax.tflite` or the like.
        input_shape: (height, width); None for the size that images had in training, or else the
            size of the training crops.
        data: None for the data of the run; without a run, and for a folder of images without
            masks, the accuracy stays unmeasured.

    Raises: as `export`.
    """
    recipe, card = recipe_beside(model_path), read_card(model_path)
    size = _size(input_shape) or (card and card.image_size) or (recipe and recipe.crop)
    channels = model_shapes(as_functional(load(model_path)))[0][2]
    known = data is not None or recipe is not None
    if data is not None and images_of_folder(Path(data)):  # to calibrate on, not to measure on
        train_set, val_set = data, None
    else:
        value_range = card and card.value_range
        train_set, val_set = (
            evaluation_data(model_path, data, split, channels, value_range) if known else None
            for split in ("train", "val")
        )
    suffix = format or (output.suffix.removeprefix(".") if output else "tflite")
    return export(
        model_path,
        output or model_path.with_name(_file_name(model_path, suffix, quantize, head, layout)),
        format=format,
        quantize=quantize,
        calibration=train_set,
        evaluation=val_set,
        input_shape=None if size is None else (*size, channels),
        input=input,
        head=head,
        max_drop=max_drop,
        sizing=sizing,
        limit=limit,
        layout=layout,
        subpixel=subpixel,
        scores=scores,
        multi_label=multi_label,
    )


def beside(model_path: Path) -> Path:
    """Folder for the training with roundings of a run's model: `<run>_int8`."""
    run = model_path.resolve().parent
    return run.with_name(f"{run.name}_int8")


def train_quantized(
    model_path: Path,
    output: Path,
    epochs: int | None = None,
    learning_rate: float | None = None,
) -> training.TrainingResult:
    """Trains the model of a run on, as `quantization_aware`, on the data and by the recipe of it.

    Args:
        output: folder of the new run.
        epochs, learning_rate: None for a tenth of the recipe's.

    Raises: ValueError for a model that lies in no run's folder; as `training.train` otherwise.
    """
    recipe = recipe_beside(model_path)
    if recipe is None:
        raise ValueError(
            f"{model_path} lies in no run folder, so its data and recipe are not known. Pass the "
            "model.keras of a run, or call keras_seg.export.quantization_aware and model.fit."
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
        overwrite=False,
    )
    return training.train(tuned, rewrite=quantization_aware)


def _file_name(
    model_path: Path, suffix: str, quantize: str | None, head: str | None, layout: str
) -> str:
    layout = None if layout == "nhwc" else layout
    parts = [model_path.stem, quantize, head if head != "logits" else None, layout]
    return f"{'_'.join(filter(None, parts))}.{suffix}"


def _size(input_shape: list[int] | None) -> tuple[int, int] | None:
    if input_shape is not None and len(input_shape) != 2:
        raise ValueError(
            "--input_shape is the height and width in pixels, such as [256,320]. "
            f"Received: {input_shape}"
        )
    return None if input_shape is None else (input_shape[0], input_shape[1])
