"""What a file loses against the Keras model, measured again and again in a search."""

from __future__ import annotations

import abc
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_seg import inference
from keras_seg.card import ModelCard
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.export.options import HEADS
from keras_seg.export.proof.audit import broken_comparisons
from keras_seg.export.proof.gate import unlabelled
from keras_seg.export.tflite.graph import read_graphs
from keras_seg.export.tflite.metadata import with_card
from keras_seg.inference.evaluation import evenly_spread
from keras_seg.inference.loading import predict
from keras_seg.inference.prediction import Runner
from keras_seg.inference.scores import mask_of
from keras_seg.masks.confusion import confusion_matrix, empty_confusion, mean_iou


class Loss(abc.ABC):
    """Called with the runner of a file: what it loses, in units of `measure`."""

    measure: str

    @abc.abstractmethod
    def __call__(self, runner: Runner) -> float: ...


class LostMIoU(Loss):
    """Points of mIoU lost on images with masks: what the gate measures, on the same images."""

    measure = "points of mIoU lost"

    def __init__(
        self, reference: Runner, dataset: SegmentationDataset, sizing: str, limit: int | None
    ):
        self._dataset, self._sizing = dataset, sizing
        self._indices = evenly_spread(len(dataset), limit)
        self._before = self._miou(reference)

    def __call__(self, runner: Runner) -> float:
        return 100 * (self._before - self._miou(runner))

    def _miou(self, runner: Runner) -> float:
        counts = empty_confusion(runner.num_classes, multi_label=runner.card.multi_label)
        for index in self._indices:
            sample = self._dataset[index]
            mask = predict(runner, sample.image, sizing=self._sizing)
            classes = runner.num_classes
            counts += confusion_matrix(sample.mask, mask, classes, name=sample.name)
        if not counts.any():
            raise unlabelled(self._dataset)
        return mean_iou(counts)


class OtherClasses(Loss):
    """Percent of the pixels that get another class than from Keras, on images without masks."""

    measure = "% of the pixels of the calibration images with another class"

    def __init__(self, reference: Runner, images: Sequence[np.ndarray]):
        self._images = images
        self._before = [_classes(reference, image) for image in images]

    def __call__(self, runner: Runner) -> float:
        pairs = zip(self._images, self._before, strict=True)
        return 100 * float(np.mean([_classes(runner, image) != old for image, old in pairs]))


def _classes(runner: Runner, image: np.ndarray) -> np.ndarray:
    return mask_of(runner, runner.run(image), runner.card.head)


def loss_of(
    content: bytes, card: ModelCard, head: str, loss: Loss, threads: int | None = None
) -> float:
    """What the bytes of a .tflite file lose; infinity for a file that cannot be right."""
    if any(broken_comparisons(graph) for graph in read_graphs(content)):
        return float("inf")
    return loss_of_file(with_card(content, card, HEADS[head]), "tflite", loss, threads)


def loss_of_file(content: bytes, format: str, loss: Loss, threads: int | None = None) -> float:
    """What the bytes of a file lose that has its card in it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"trial.{format}"
        path.write_bytes(content)
        return loss(inference.load(path, threads=threads))
