"""Callbacks that write the best model and pictures of its predictions."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from PIL import Image

from keras_seg import models
from keras_seg.data.classes import ClassTable
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.data.mask_colors import as_rgb, colorize, overlay
from keras_seg.models.output_activation import model_output_activation
from keras_seg.models.sizes import output_margin, size_rule
from keras_seg.training.history import History
from keras_seg.training.optimizers import averaged_weights

GAP = 4
"""Gap in pixels between the pictures of a sheet."""


class SaveBest(keras.callbacks.Callback):
    """Saves the network whenever its validation mIoU is the best so far."""

    def __init__(self, path: Path, network: keras.Model, card: models.ModelCard, history: History):
        super().__init__()
        self.path, self.network, self.card, self.history = path, network, card, history

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        if self.history.best[1] == epoch + 1:
            with averaged_weights(self.model):
                models.save(self.network, self.path, self.card)


class DrawOverlays(keras.callbacks.Callback):
    """Draws some validation images as rows of image, truth and prediction.

    Writes one PNG for each epoch that is better than all before, always of the same images.

    Args:
        folder: folder of the PNG files.
        dataset: validation data.
        count: number of images.
        network: the network that predicts.
        history: the log, which has the best epoch.

    Attributes:
        sheet: the picture of the last epoch; None if it was not the best.
    """

    def __init__(
        self,
        folder: Path,
        dataset: SegmentationDataset,
        count: int,
        network: keras.Model,
        history: History,
    ):
        super().__init__()
        self.folder, self.history, self.classes = folder, history, dataset.classes
        self.network, self.rule, self.margin = network, size_rule(network), output_margin(network)
        self.multi_label = dataset.multi_label
        squashed = model_output_activation(network.output).are_probabilities
        self.limit = 0.5 if squashed else 0.0
        indices = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int)
        self.samples = [dataset[int(i)] for i in sorted(set(indices.tolist()))]
        self.sheet: Image.Image | None = None

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.sheet = None
        if self.history.best[1] != epoch + 1 or not self.samples:
            return
        with averaged_weights(self.model):
            rows = [(s.image, s.mask, self._predict(s.image)) for s in self.samples]
        self.folder.mkdir(exist_ok=True)
        self.sheet = sheet(rows, self.classes)
        self.sheet.save(self.folder / f"epoch_{epoch + 1:03d}.png")

    def _predict(self, image: np.ndarray) -> np.ndarray:
        """(H, W, C) uint8 → (H, W) classes, or (H, W, labels) of 0 and 1."""
        multiple, offset, smallest = self.rule
        height, width = image.shape[:2]
        padding = [
            (m, m + max((offset - n - 2 * m) % multiple, smallest - n - 2 * m))
            for n, m in zip((height, width), self.margin, strict=True)
        ]
        padded = np.pad(image, (*padding, (0, 0)), mode="symmetric")
        scores = self.network(padded[None].astype("float32"), training=False)
        if isinstance(scores, dict):
            scores = scores["logits"]
        scores = keras.ops.convert_to_numpy(scores)[0, :height, :width]
        if self.multi_label:
            return (scores > self.limit).astype(np.uint8)
        return scores[..., 0] > self.limit if scores.shape[-1] == 1 else scores.argmax(-1)


def sheet(
    rows: list[tuple[np.ndarray, np.ndarray, np.ndarray]], classes: ClassTable
) -> Image.Image:
    """Draws rows of (image, truth, prediction) as one picture, with predictions as overlays."""
    cells = [
        (
            as_rgb(image),
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
