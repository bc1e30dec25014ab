"""The whole pipeline on real images: train, evaluate, export, compare, draw."""

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
from keras_seg.shipped_models import SHIPPED
from keras_seg.training.data_sets import open_data
from keras_seg.training.fit import train
from keras_seg.training.recipe import Recipe

EXPORTS = {"model.tflite": None, "model_int8.tflite": "int8", "model.onnx": None}
"""File name of an export → its quantization."""
SHOWN = (2, 4, 8, 9)
"""Validation images in the picture: tissue, fluorescence, bright field, blood."""
CROP = (128, 128)
FILE_SIZE = (256, 256, 3)
"""Image at which all files run; larger images are predicted in tiles."""
STEPS = 50
"""Training steps per epoch, 15 passes over the images: an epoch of one pass has 3 steps."""


def run_demo(output: Path, *, epochs: int = 14) -> bool:
    """Trains a small U-Net on the built-in nuclei, exports it and compares the files.

    The model "nuclei" of the package, which was trained for longer and on more images, is measured
    beside them. Writes the run, the exported files and their reports, `table.txt`, `results.json`
    and `demo.png` into `output`, and prints where they are.

    Args:
        output: the folder.
        epochs: epochs of 50 steps.

    Returns: whether every export passed its gate.
    """
    start, console = time.monotonic(), Console(markup=False, emoji=False)
    recipe = Recipe(
        data="builtin:nuclei",
        output=str(output),
        model="unet",
        model_options={"widths": (8, 16, 32, 64, 128)},
        crop=CROP,
        epochs=epochs,
        steps_per_epoch=STEPS,
        learning_rate=2e-3,
        recalibrate=True,
        augmentation=Augmentation(flip_vertical=True, scale=(0.7, 1.4), rotation=180, gamma=0.5),
        overwrite=True,
    )
    console.rule("Training a small U-Net on 26 microscopy images of nuclei")
    result = train(recipe)
    if result.interrupted or result.model_path is None:
        console.print("The demo was interrupted.")
        return False

    train_set, val_set = (open_data(recipe, split) for split in ("train", "val"))
    console.rule("Exporting, and comparing each file with the Keras model")
    refused = _export_all(console, output, recipe, train_set, val_set)
    files = ["model.keras", *(name for name in EXPORTS if name not in refused)]
    evaluations = {name: _evaluated(output / name, val_set) for name in files}
    evaluations |= {name: _evaluated(name, val_set) for name in SHIPPED}

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
                input_shape=FILE_SIZE,
            )
            facts = json.dumps(report.to_dict(), indent=1) + "\n"
            write_text(output / f"{name}.json", facts)  # where `keras-seg report` looks
            console.print(f"{name}: {report.accuracy} ({report.seconds:.0f} s)")
        except GateError as refusal:
            console.print(f"{name}: {refusal}")
            refused.append(name)
    return refused


def _evaluated(path: str | Path, dataset: SegmentationDataset) -> inference.Evaluation:
    return inference.evaluate(_runner(path), dataset)


def _runner(path: str | Path) -> inference.Runner:
    """The runner of a file; a Keras model runs at the size of the exported files."""
    return inference.load(path, input_shape=FILE_SIZE)


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
    table = Table(*columns, title="Nuclei, 13 validation images, one at a time")
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
    runners = {name: _runner(folder / name) for name in shown}
    rows, columns = len(SHOWN), 2 + len(runners)
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.4 * columns, 2.3 * rows), squeeze=False, layout="constrained"
    )
    for row, index in zip(axes, SHOWN, strict=True):
        sample = dataset[index]
        image = brightened(sample.image)
        cells = [("image", image), ("truth", colorize(sample.mask, dataset.classes))]
        for name, runner in runners.items():
            mask = np.asarray(inference.predict(runner, sample.image))
            miou = mean_iou(confusion_matrix(sample.mask, mask, len(dataset.classes)))
            title = f"{name}, mIoU {miou:.2f}"
            cells.append((title, overlay(image, mask, dataset.classes)))
        for axis, (title, picture) in zip(row, cells, strict=True):
            axis.imshow(picture, interpolation="nearest")
            axis.set_title(title, fontsize=9)
            axis.axis("off")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def brightened(image: np.ndarray) -> np.ndarray:
    """A dark image for the eye: its 99.5th percentile becomes white. Bright images stay.

    Args: image: (H, W, 3) uint8.
    """
    white = max(float(np.percentile(image, 99.5)), 1.0)
    return np.clip(image * (255 / white), 0, 255).astype(np.uint8)
