"""The whole pipeline on the built-in cells: train, evaluate, export, compare, draw."""

from __future__ import annotations

import json
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draws into files, without a display

import matplotlib.pyplot as plt
import numpy as np
from rich.console import Console
from rich.table import Table

from keras_seg import inference
from keras_seg.atomic_files import write_text
from keras_seg.data.augmentation.options import Augmentation
from keras_seg.data.builtin import otsu_threshold_mask
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.mask_colors import colorize, overlay
from keras_seg.export import GateError, export
from keras_seg.masks.confusion import confusion_matrix, mean_iou
from keras_seg.training.data_sets import open_data
from keras_seg.training.fit import train
from keras_seg.training.recipe import Recipe

EXPORTS = {"model.tflite": None, "model_int8.tflite": "int8", "model.onnx": None}
"""File name of an export → its quantization."""
SHOWN = 4
"""Number of validation images in the picture."""


def run_demo(output: Path, *, epochs: int = 14) -> bool:
    """Trains a small U-Net on the built-in cells, exports it and compares the files.

    Writes the run, the exported files and their reports, `table.txt`, `results.json` and
    `demo.png` into `output`, and prints where they are.

    Args:
        output: the folder.
        epochs: epochs of training.

    Returns: whether every export passed its gate.
    """
    start, console = time.monotonic(), Console(markup=False, emoji=False)
    recipe = Recipe(
        data="builtin:cells",
        output=str(output),
        model="unet",
        model_options={"widths": (8, 16, 32, 64, 128)},
        crop=(128, 128),
        epochs=epochs,
        learning_rate=2e-3,
        augmentation=Augmentation(flip_vertical=True, scale=(0.8, 1.25)),
        overwrite=True,
    )
    console.rule("Training a small U-Net on the built-in cells")
    result = train(recipe)
    if result.interrupted or result.model_path is None:
        console.print("The demo was interrupted.")
        return False

    train_set, val_set = (open_data(recipe, split) for split in ("train", "val"))
    console.rule("Exporting, and comparing each file with the Keras model")
    refused = _export_all(console, output, recipe, train_set, val_set)
    files = ["model.keras", *(name for name in EXPORTS if name not in refused)]
    evaluations = {name: _evaluated(output / name, val_set) for name in files}

    table = _table(evaluations, _threshold_miou(val_set))
    console.print(table)
    with (output / "table.txt").open("w") as file:
        Console(file=file, width=100, markup=False, emoji=False).print(table)
    record = {name: evaluation.to_dict() for name, evaluation in evaluations.items()}
    (output / "results.json").write_text(json.dumps(record, indent=1) + "\n")
    _draw(output / "demo.png", val_set, output, files)
    console.print(f"All files are in {output.resolve()}:", soft_wrap=True)
    for name in (*files, "table.txt", "results.json", "demo.png", "log.csv", "overlays"):
        console.print(f"  {name}")
    console.print(f"The demo took {time.monotonic() - start:.0f} s.")
    return not refused


def _export_all(
    console: Console,
    output: Path,
    recipe: Recipe,
    train_set: SegmentationDataset,
    val_set: SegmentationDataset,
) -> list[str]:
    """Exports every file of EXPORTS; returns the names of those that the gate refused."""
    refused = []
    for name, quantize in EXPORTS.items():
        try:
            report = export(
                output / "model.keras",
                output / name,
                quantize=quantize,
                calibration=train_set,
                evaluation=val_set,
                input_shape=(*recipe.crop, recipe.channels),
            )
            facts = json.dumps(report.to_dict(), indent=1) + "\n"
            write_text(output / f"{name}.json", facts)  # where `keras-seg report` looks
            console.print(f"{name}: {report.accuracy} ({report.seconds:.0f} s)")
        except GateError as refusal:
            console.print(f"{name}: {refusal}")
            refused.append(name)
    return refused


def _evaluated(path: Path, dataset: SegmentationDataset) -> inference.Evaluation:
    return inference.evaluate(inference.load(path), dataset)


def _threshold_miou(dataset: SegmentationDataset) -> float:
    """mIoU of Otsu's threshold, with the better polarity for each image."""
    confusion = np.zeros((2, 2), np.int64)
    for sample in dataset:
        mask = otsu_threshold_mask(sample.image).astype(np.uint8)
        both = [confusion_matrix(sample.mask, polarity, 2) for polarity in (mask, 1 - mask)]
        confusion += max(both, key=mean_iou)
    return mean_iou(confusion)


def _table(evaluations: dict[str, inference.Evaluation], threshold: float) -> Table:
    columns = ("file", "mIoU", "size", "median latency", "90th percentile")
    table = Table(*columns, title="Built-in cells, validation images, one at a time")
    table.add_row("Otsu's threshold, better polarity", f"{threshold:.4f}", "-", "-", "-")
    for name, evaluation in evaluations.items():
        table.add_row(
            name,
            f"{evaluation.miou:.4f}",
            f"{evaluation.size_bytes / 1024:.0f} KiB",
            f"{evaluation.latency_ms_median:.1f} ms",
            f"{evaluation.latency_ms_p90:.1f} ms",
        )
    return table


def _draw(path: Path, dataset: SegmentationDataset, folder: Path, files: list[str]) -> None:
    """Rows of image, truth, Keras mask and int8 mask, each with its mIoU."""
    shown = ["model.keras", *(name for name in files if "int8" in name)]
    runners = {name: inference.load(folder / name) for name in shown}
    columns = 2 + len(runners)
    figure, axes = plt.subplots(
        SHOWN, columns, figsize=(2.4 * columns, 2.5 * SHOWN), squeeze=False, layout="constrained"
    )
    indices = np.linspace(0, len(dataset) - 1, SHOWN).round().astype(int)
    for row, index in zip(axes, indices.tolist(), strict=True):
        sample = dataset[index]
        cells = [("image", sample.image), ("truth", colorize(sample.mask, dataset.classes))]
        for name, runner in runners.items():
            mask = inference.predict(runner, sample.image)
            miou = mean_iou(confusion_matrix(sample.mask, mask, len(dataset.classes)))
            title = f"{name}, mIoU {miou:.2f}"
            cells.append((title, overlay(sample.image, mask, dataset.classes)))
        for axis, (title, picture) in zip(row, cells, strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set_title(title, fontsize=9)
            axis.axis("off")
    figure.savefig(path, dpi=110)
    plt.close(figure)
