"""What the studies measure on the validation images: one pass per trained network.

`pixel_error`, `rand_error`: of ISBI 2012. V_rand, the foreground-restricted Rand score, is
sum p_ij^2 / (sum s_i^2 / 2 + sum t_j^2 / 2), where p_ij is the share of the cells' true pixels that
belong to segment i of the prediction and to segment j of the truth, and s and t are its row and
column sums. Segments are 4-connected. Predicted membrane counts as part of the nearest segment, so
that its width does not matter. Source: Arganda-Carreras et al., Frontiers in Neuroanatomy 9:142,
2015. The Rand error is 1 - V_rand at the threshold where it is smallest.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from scipy import ndimage

from keras_seg import inference, metrics, models
from keras_seg.data.dataset import SegmentationDataset
from keras_seg.inference.runner import NetworkRunner
from keras_seg.masks.confusion import (
    confusion_matrix,
    empty_confusion,
    iou_per_class,
    mean_iou,
    pixel_accuracy,
)

THRESHOLDS = np.linspace(0.1, 0.9, 17)
EVERY_VIEW = inference.TestTimeAugmentation("both")
VIEWS = inference.TestTimeAugmentation("horizontal", scales=(0.75, 1.0, 1.25))


class Predictions:
    """The probabilities of a network for some validation images, computed once."""

    def __init__(
        self, runner: NetworkRunner, dataset: SegmentationDataset, limit: int | None = None
    ) -> None:
        self.runner = runner
        self.samples = [dataset[i] for i in range(min(limit or len(dataset), len(dataset)))]
        self.scores = self.of_views(None)

    def of_views(self, views: inference.TestTimeAugmentation | None) -> list[np.ndarray]:
        """(H, W, num_classes) per image, the mean over the views."""
        return [
            self.runner.predict(sample.image, probabilities=True, tta=views)
            for sample in self.samples
        ]

    def confusion(self, scores: list[np.ndarray] | None = None) -> np.ndarray:
        total = empty_confusion(self.runner.num_classes)
        for sample, each in zip(self.samples, scores or self.scores, strict=True):
            total += confusion_matrix(sample.mask, each.argmax(-1), self.runner.num_classes)
        return total


def miou(predictions: Predictions) -> float:
    return mean_iou(predictions.confusion())


def foreground_iou(predictions: Predictions) -> float:
    """IoU of class 1, the nuclei."""
    return float(iou_per_class(predictions.confusion())[1])


def class_accuracy(predictions: Predictions) -> float:
    """Mean over the classes of the share of their pixels that are right."""
    confusion = predictions.confusion()
    pixels = confusion.sum(1)
    return float((np.diag(confusion)[pixels > 0] / pixels[pixels > 0]).mean())


def boundary_f1(predictions: Predictions) -> float:
    """The BF score of the SegNet paper, mean over the images."""
    pairs = zip(predictions.samples, predictions.scores, strict=True)
    scores = [metrics.boundary_f1(sample.mask, each.argmax(-1)) for sample, each in pairs]
    return float(np.nanmean(scores))


def pixel_error(predictions: Predictions) -> float:
    """Share of wrong pixels."""
    return 1 - pixel_accuracy(predictions.confusion())


def pixel_error_views(predictions: Predictions) -> float:
    """Share of wrong pixels with mirrored views; the paper averages 7 rotated ones."""
    return 1 - pixel_accuracy(predictions.confusion(predictions.of_views(EVERY_VIEW)))


def rand_error(predictions: Predictions) -> float:
    """1 - V_rand, mean over the images, at the best of some thresholds. Class 1 is the cells."""
    by_threshold = [
        np.mean(
            [
                foreground_rand_score(sample.mask == 1, scores[..., 1] >= threshold)
                for sample, scores in zip(predictions.samples, predictions.scores, strict=True)
            ]
        )
        for threshold in THRESHOLDS
    ]
    return float(1 - max(by_threshold))


def foreground_rand_score(truth: np.ndarray, predicted: np.ndarray) -> float:
    """V_rand of two masks (H, W) bool whose connected parts are the segments."""
    true_parts, _ = ndimage.label(truth)
    parts, number = ndimage.label(predicted)
    if number:
        nearest = ndimage.distance_transform_edt(
            ~predicted, return_distances=False, return_indices=True
        )
        parts = parts[tuple(nearest)]
    pairs = np.stack([parts[truth], true_parts[truth]])
    _, together = np.unique(pairs, axis=1, return_counts=True)
    apart = [np.unique(row, return_counts=True)[1] for row in pairs]
    squares = [float((counts.astype(float) ** 2).sum()) for counts in (together, *apart)]
    return 2 * squares[0] / (squares[1] + squares[2])


def pruned(predictions: Predictions) -> dict[str, float]:
    """IoU of the foreground and parameters of a U-Net++ that is cut down to each of its heads."""
    results = {}
    whole = keras.models.load_model(predictions.runner.path, compile=False)
    for level in range(1, 5):
        small = models.prune(whole, level)
        copy, total = inference.load(small), empty_confusion(2)
        for sample in predictions.samples:
            total += confusion_matrix(sample.mask, copy.predict(sample.image), 2)
        results[f"foreground_iou_l{level}"] = float(iou_per_class(total)[1])
        results[f"parameters_l{level}"] = trainable_parameters(small)
    return results


def views(predictions: Predictions) -> dict[str, float]:
    """mIoU with the mean over two flips and three scales."""
    return {"miou_views": mean_iou(predictions.confusion(predictions.of_views(VIEWS)))}


def trainable_parameters(model: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


METRICS: dict[str, Callable[[Predictions], float]] = {
    function.__name__: function
    for function in (
        *(miou, foreground_iou, class_accuracy, boundary_f1),
        *(pixel_error, pixel_error_views, rand_error),
    )
}
EXTRA: dict[str, Callable[[Predictions], dict[str, float]]] = {
    function.__name__: function for function in (pruned, views)
}
LOWER_IS_BETTER = {"pixel_error", "pixel_error_views", "rand_error"}
