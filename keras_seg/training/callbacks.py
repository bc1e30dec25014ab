"""What happens after each epoch."""

from __future__ import annotations

import time
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from keras_seg import models
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.images import colorize, overlay

MONITOR = "val_mean_iou"
GAP = 4
"""Pixels between the pictures of an overlay sheet."""


class SaveBest(keras.callbacks.Callback):
    """Writes the model whenever its validation mIoU is the best so far.

    Attributes: `epochs` that were completed, `best` (mIoU) and `best_epoch` (from 1); 0, None and
    0 before the first epoch ends.
    """

    def __init__(self, path: Path, card: models.ModelCard):
        super().__init__()
        self.path, self.card = path, card
        self.best: float | None = None
        self.epochs = self.best_epoch = 0

    def on_epoch_end(self, epoch, logs=None):
        self.epochs = epoch + 1
        miou = logs[MONITOR]
        if self.best is None or miou > self.best:
            models.save(self.model, self.path, self.card)
            self.best, self.best_epoch = miou, epoch + 1


class DrawOverlays(keras.callbacks.Callback):
    """Draws fixed validation images as rows of image, truth and prediction, one PNG an epoch.

    Files are written for epochs that `save_best` has found better than all before.
    """

    def __init__(
        self, folder: Path, dataset: SegmentationDataset, count: int, save_best: SaveBest, multiple
    ):
        super().__init__()
        self.folder, self.save_best, self.multiple = folder, save_best, multiple
        indices = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int)
        self.samples = [dataset[int(i)] for i in sorted(set(indices.tolist()))]
        self.classes = dataset.classes

    def on_epoch_end(self, epoch, logs=None):
        if self.save_best.best_epoch != epoch + 1 or not self.samples:
            return
        rows = [(sample.image, sample.mask, self._predict(sample.image)) for sample in self.samples]
        self.folder.mkdir(exist_ok=True)
        sheet(rows, self.classes).save(self.folder / f"epoch_{epoch + 1:03d}.png")

    def _predict(self, image):
        height, width = image.shape[:2]
        padding = ((0, -height % self.multiple), (0, -width % self.multiple), (0, 0))
        scores = self.model(np.pad(image, padding)[None].astype("float32"), training=False)
        scores = keras.ops.convert_to_numpy(scores)[0, :height, :width]
        return scores[..., 0] > 0 if scores.shape[-1] == 1 else scores.argmax(-1)


class StopAfter(keras.callbacks.Callback):
    """Ends the training at the first end of an epoch after `minutes`."""

    def __init__(self, minutes: float):
        super().__init__()
        self.seconds = minutes * 60

    def on_train_begin(self, logs=None):
        self.start = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        if time.monotonic() - self.start > self.seconds:
            self.model.stop_training = True


def sheet(
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]], classes: ClassTable
) -> Image.Image:
    """Rows of (image, truth, prediction) as one picture: image, truth, overlay of prediction."""
    cells = [
        (
            np.broadcast_to(image, (*image.shape[:2], 3)),
            colorize(truth, classes),
            overlay(image, predicted, classes),
        )
        for image, truth, predicted in rows
    ]
    width = max(sum(cell.shape[1] + GAP for cell in row) for row in cells)
    height = sum(row[0].shape[0] + GAP for row in cells)
    canvas = Image.new("RGB", (width - GAP, height - GAP), "white")
    top = 0
    for row in cells:
        left = 0
        for cell in row:
            canvas.paste(Image.fromarray(np.ascontiguousarray(cell)), (left, top))
            left += cell.shape[1] + GAP
        top += row[0].shape[0] + GAP
    return canvas
