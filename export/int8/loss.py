"""What a file loses compared with the Keras model, for searches that try many files."""

from __future__ import annotations

import abc
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_seg import inference
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.export.errors import without_labels
from keras_seg.export.network_to_export import NetworkToExport
from keras_seg.export.tflite.faults import broken_comparisons
from keras_seg.export.tflite.graph import read_graphs
from keras_seg.inference.evaluation import evenly_spread
from keras_seg.inference.loading import predict
from keras_seg.inference.prediction import Runner
from keras_seg.inference.scores import mask_of
from keras_seg.masks.confusion import confusion_matrix, empty_confusion, mean_iou


class Loss(abc.ABC):
    """Function: runner of a file → what the file loses, in units of `measure`."""

    measure: str

    @abc.abstractmethod
    def __call__(self, runner: Runner) -> float: ...


class LostMIoU(Loss):
    """Points of mIoU lost on images with masks, as the gate measures it on the same images."""

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
            raise without_labels(self._dataset.name)
        return mean_iou(counts)


class OtherClasses(Loss):
    """Percent of the pixels with another class than in Keras, on images without masks."""

    measure = "% of the pixels of the calibration images with another class"

    def __init__(self, reference: Runner, images: Sequence[np.ndarray]):
        self._images = images
        self._before = [_classes(reference, image) for image in images]

    def __call__(self, runner: Runner) -> float:
        pairs = zip(self._images, self._before, strict=True)
        return 100 * float(np.mean([_classes(runner, image) != old for image, old in pairs]))


def _classes(runner: Runner, image: np.ndarray) -> np.ndarray:
    return mask_of(runner, runner.run(image), runner.card.head)


def loss_of_file(content: bytes, network: NetworkToExport, loss: Loss) -> float:
    """What the bytes of a file lose; infinity for a .tflite file that LiteRT would misread."""
    if network.options.format == "tflite" and any(map(broken_comparisons, read_graphs(content))):
        return float("inf")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"trial.{network.options.format}"
        path.write_bytes(content)
        return loss(inference.load(path, threads=network.options.threads))
